package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/drawdown/drawdown/schemas"
	"github.com/segmentio/kafka-go"
)

// committedOffset is a partition's answer to OffsetFetch.
type committedOffset struct {
	offset   int64 // -1: none
	metadata string
}

// recover takes the partition over (invariant 3): it decides where to go on,
// checks that the topic is still the one in the ledger, and brings every
// pending range to its end. Afterwards p.pos is the next offset.
func (p *partition) recover(ctx context.Context, committed committedOffset) error {
	if err := p.c.orphans.wait(ctx, p.topic, p.id); err != nil {
		return errOver
	}
	if err := p.lookForRebuilds(ctx); err != nil {
		return err
	}
	in, err := parseIntent(committed.metadata, committed.offset)
	if err != nil {
		return park("intent_unreadable", "%w; another program has committed offsets of group %s", err, p.c.Group)
	}
	ledger, err := retryRead(ctx, p, p.c.readErrors, p.readLedger)
	if err != nil {
		return err
	}
	first, end, err := p.logRange(ctx)
	if err != nil {
		return err
	}
	plan, err := p.plan(committed, in, ledger, first)
	if err != nil {
		return err
	}
	if err := p.checkTopic(ctx, ledger, first, end); err != nil {
		return err
	}
	if plan.beyond {
		if plan.pending, err = p.rangesBeyond(ctx, plan.start); err != nil {
			return err
		}
	}
	p.pos = plan.start
	p.filter, err = retryRead(ctx, p, p.c.readErrors, func(ctx context.Context) (filter, error) { return p.newFilter(ctx, plan.start) })
	if err != nil {
		return err
	}
	foreign := plan.beyond
	if in.rules != p.c.rules && len(plan.pending) > 0 && !plan.beyond {
		if err := p.adopt(ctx, plan, in.rules); err != nil {
			return err
		}
		foreign = true
	}
	for _, s := range plan.pending {
		if err := p.replay(ctx, s, plan.beyond, foreign); err != nil {
			return err
		}
	}
	p.c.log.Debug("partition taken over", "partition", p.String(), "next_offset", p.pos, "recovered_ranges", len(plan.pending))
	return nil
}

// plan is where a new owner starts: at offset start, after bringing the pending
// ranges to their end. beyond says that the ranges are not known from an intent
// but from what the tables hold past the ledger.
type plan struct {
	start   int64
	pending []span
	beyond  bool
}

// plan compares what Kafka committed with the ledger (invariant 9). logStart
// is the first offset that Kafka still has.
func (p *partition) plan(committed committedOffset, in intent, ledger []ledgerRow, logStart int64) (plan, error) {
	resume := plan{start: logStart, beyond: true}
	if len(ledger) > 0 {
		resume.start = ledger[0].last + 1
	}
	if committed.offset < 0 || (committed.metadata != "" && in.epoch != p.c.Epoch) {
		// Nothing committed in this epoch. The group may have been deleted or
		// have expired while a batch was pending.
		return resume, nil
	}
	if in.format != 0 && in.format != batchFormat && len(in.pending) > 0 {
		return plan{}, park("format_changed", "pending offsets %v of %s were written as format %d, this program writes %d: let the version that wrote them finish", in.pending, p, in.format, batchFormat)
	}
	end := int64(-1)
	for _, row := range ledger {
		if row.last < committed.offset {
			end = row.last
			break
		}
		if !covers(in.pending, row.span) {
			if p.c.ResumeFromLedger {
				return resume, nil
			}
			return plan{}, park("offset_regression", "offset %d of %s is committed, but the ledger has counted up to %d: go on with consume --resume-from-ledger", committed.offset, p, ledger[0].last)
		}
	}
	// Without a ledger row before it, an offset can only be right where the
	// log starts.
	gap := end+1 != committed.offset
	if end < 0 {
		gap = committed.offset > logStart
	}
	if gap {
		if p.c.ResumeFromLedger {
			return resume, nil
		}
		return plan{}, park("ledger_gap", "offset %d of %s is committed, but the ledger ends at %d: offsets between were never counted; go on with consume --resume-from-ledger", committed.offset, p, end)
	}
	return plan{start: committed.offset, pending: in.pending}, nil
}

func covers(pending []span, s span) bool {
	for _, have := range pending {
		if have == s {
			return true
		}
	}
	return false
}

// checkTopic re-reads the last record in the ledger: another one at its
// offset means that the topic was made anew.
func (p *partition) checkTopic(ctx context.Context, ledger []ledgerRow, first, end int64) error {
	var last *ledgerRow
	for i := range ledger {
		if ledger[i].lastKoff >= 0 {
			last = &ledger[i]
			break
		}
	}
	if last == nil {
		return nil
	}
	if last.lastKoff < first {
		return nil // retention has it no more
	}
	if last.lastKoff >= end {
		return park("topic_changed", "the ledger has offset %d of %s, but Kafka's log ends at %d: the topic was truncated or made anew; raise --epoch if it was made anew", last.lastKoff, p, end)
	}
	var found *uint32
	err := p.readRange(ctx, span{last.lastKoff, last.lastKoff}, func(f *fetched, from int64) error {
		_, err := p.reader.each(f, from, func(rec *record) error {
			if rec.offset == last.lastKoff {
				crc := recordCRC(rec)
				found = &crc
			}
			return nil
		})
		return err
	})
	switch {
	case err != nil:
		return err
	case found == nil || *found != last.lastCRC:
		return park("topic_changed", "the record at offset %d of %s is not the one in the ledger: the topic was made anew; raise --epoch", last.lastKoff, p)
	}
	return nil
}

// rangesBeyond returns ranges that cover what the tables hold at or after
// start although no intent and no ledger row speaks of it.
func (p *partition) rangesBeyond(ctx context.Context, start int64) ([]span, error) {
	// What a former owner still inserts belongs to them.
	if err := p.waitForInserts(ctx); err != nil {
		return nil, err
	}
	end := int64(-1)
	where := []string{"rejections WHERE topic = {topic:String} AND"}
	for _, t := range tablesOf(p.role) {
		where = append(where, t.table+" WHERE")
	}
	for _, from := range where {
		query := `SELECT toInt64(max(koff)), count() FROM ` + from + ` epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND koff >= {start:UInt64}`
		err := p.read(ctx, query, clickhouse.Parameters{"start": fmt.Sprint(start)}, func(rows driver.Rows) error {
			var last int64
			var n uint64
			if err := rows.Scan(&last, &n); err != nil {
				return err
			}
			if n > 0 {
				end = max(end, last)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	var out []span
	for first := start; first <= end; first += maxBatchRows {
		out = append(out, span{first, min(first+maxBatchRows-1, end)})
	}
	if len(out) > 0 {
		p.c.log.Warn("rows stand past the ledger and are verified", "partition", p.String(), "from_offset", start, "to_offset", end)
	}
	return out, nil
}

// adopt makes intents of other rules this program's own before it builds them
// by its rules (invariant 4): what it inserts must not pass for the work of the
// former rules if it is stopped on the way. Where rows stand already it parks,
// or leaves the intents as they are if the rules are accepted.
func (p *partition) adopt(ctx context.Context, plan plan, rules string) error {
	if err := p.waitForInserts(ctx); err != nil {
		return err
	}
	all := span{plan.start, plan.pending[len(plan.pending)-1].last}
	for _, t := range tablesOf(p.role) {
		got, err := p.stored(ctx, all, t)
		if err != nil {
			return err
		}
		switch {
		case got.count == 0:
		case p.c.AcceptRules:
			return nil
		default:
			return park("rules_changed", "offsets %s of %s were partly inserted under rules %s, these are %s: finish them with the configuration that began, or go on with consume --accept-rules", all, p, rules, p.c.rules)
		}
	}
	announced := make([]*batch, len(plan.pending))
	for i, s := range plan.pending {
		announced[i] = &batch{span: s, lastKoff: -1}
	}
	p.mu.Lock()
	p.next, p.pending, p.adopting = plan.start, announced, true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.pending, p.adopting = nil, false
		p.mu.Unlock()
	}()
	p.gen.kick()
	for p.firstIntended() == nil {
		select {
		case <-p.intended:
		case <-ctx.Done():
			return errOver
		}
	}
	return nil
}

// replay brings one pending range to its end: builds the same rows, verifies,
// inserts what is missing, writes the ledger row. beyond says that the range is
// not of an intent, foreign that somebody may have built other rows of it.
func (p *partition) replay(ctx context.Context, s span, beyond, foreign bool) error {
	release, err := p.c.holdMemory(ctx, s)
	if err != nil {
		return err
	}
	defer release()
	b, err := p.rebuild(ctx, s)
	if err != nil {
		return err
	}
	if err := p.produceReroutes(ctx, b); err != nil {
		return err
	}
	if err := p.waitForInserts(ctx); err != nil {
		return err
	}
	for _, t := range b.tables {
		t.anyTime = foreign // other rows may be of other times
		got, err := p.stored(ctx, s, t)
		if err != nil {
			return err
		}
		if got.count == 0 && t.len() > 0 && !beyond {
			// Nothing is there: the token settles races with a former owner.
			if _, err := p.insert(ctx, t.table, p.token(s, t.table), t.input()); err != nil {
				return err
			}
		}
	}
	if err := p.verify(ctx, b); err != nil {
		return err
	}
	if err := p.verifyRejections(ctx, b); err != nil {
		return err
	}
	if err := p.verifyLedger(ctx, b); err != nil {
		return err
	}
	p.filter.acknowledge(b.last + 1)
	p.c.metrics.recovered.Inc()
	p.c.log.Info("recovered a batch", "partition", p.String(), "offsets", s.String(), "rows", b.counted())
	return nil
}

// rebuiltBytes is what a row of a range that is built again is taken to need;
// what it does need is known when it is there.
const rebuiltBytes = 256

// holdMemory waits until the memory for batches has room for a range that is
// built again. A range has to be built whole, whoever cut it: without waiting,
// one consumer that takes over from twelve would hold at once what each of them
// had memory for. A range that needs more than there is goes alone.
func (c *Consumer) holdMemory(ctx context.Context, s span) (release func(), err error) {
	need := min((s.last-s.first+1)*rebuiltBytes, int64(c.BatchBytes))
	if c.rebuilding.Acquire(ctx, need) != nil {
		return nil, errOver
	}
	return func() { c.rebuilding.Release(need) }, nil
}

// rebuild builds the batch of exactly one range from Kafka.
func (p *partition) rebuild(ctx context.Context, s span) (*batch, error) {
	p.startBatch(s.first)
	p.pos = s.first
	err := p.readRange(ctx, s, func(f *fetched, _ int64) error { return p.take(ctx, f, false) })
	if err != nil {
		return nil, err
	}
	b := p.build
	b.close(s.last)
	p.build, p.pos = nil, s.last+1
	return b, nil
}

// readRange fetches the answers that cover a range and hands each, cut at the
// range's end, to take together with the offset it starts from.
func (p *partition) readRange(ctx context.Context, s span, take func(f *fetched, from int64) error) error {
	var retry backoff
	var emptySince time.Time
	p.reader.until = s.last
	defer func() { p.reader.until = noEnd }()
	for offset := s.first; offset <= s.last; {
		f, err := p.c.source.fetch(ctx, p.topic, p.id, offset, p.c.source.maxWait)
		switch {
		case ctx.Err() != nil:
			return errOver
		case errors.Is(err, kafka.OffsetOutOfRange):
			return p.outOfRange(ctx, offset)
		case err == nil && f.logStart > offset:
			return park("log_start", "Kafka's log of %s starts at offset %d, but %d must be read again", p, f.logStart, offset)
		case err != nil:
			p.c.fetchErrors.note("cannot fetch, trying again", err)
			if retry.sleep(ctx) != nil {
				return errOver
			}
			continue
		}
		after := endOfLastBatch(f.raw, offset)
		if after == offset {
			// A new leader may know less of the end for a moment.
			if emptySince.IsZero() {
				emptySince = p.c.now()
			}
			if p.c.now().Sub(emptySince) < p.c.SessionTimeout {
				if retry.sleep(ctx) != nil {
					return errOver
				}
				continue
			}
			return park("topic_changed", "Kafka's log of %s ends at offset %d, but offsets up to %d were read before: the topic was truncated or made anew", p, offset, s.last)
		}
		if err := take(f, offset); err != nil {
			if errors.Is(err, errCorrupt) {
				return park("corrupt", "cannot read %s: %w", p, err)
			}
			return err
		}
		f.release()
		offset, emptySince = after, time.Time{}
	}
	return nil
}

func (p *partition) newFilter(ctx context.Context, next int64) (filter, error) {
	w := where{epoch: p.c.Epoch, kpart: uint16(p.id), partitions: p.c.Partitions}
	if p.role == schemas.ConsumptionTopic {
		return newConsumedFilter(ctx, p.c.db, w, next, windowOffsets, p.gen.filterBytes)
	}
	return newStatedFilter(ctx, p.c.db, w, p.role, next)
}

// logRange asks until Kafka answers or the generation is over.
func (p *partition) logRange(ctx context.Context) (first, end int64, err error) {
	type bounds struct{ first, end int64 }
	b, err := retryRead(ctx, p, p.c.fetchErrors, func(ctx context.Context) (bounds, error) {
		first, end, err := p.c.logRange(ctx, p.topic, p.id)
		return bounds{first, end}, err
	})
	return b.first, b.end, err
}

// retryRead repeats a reading of Kafka or ClickHouse until it succeeds, parks
// or the generation is over. failing is whose trouble a failure is.
func retryRead[T any](ctx context.Context, p *partition, failing *trouble, read func(context.Context) (T, error)) (T, error) {
	var retry backoff
	for {
		began := p.c.now()
		v, err := read(ctx)
		var parked *parkError
		if err == nil {
			failing.clearSince("reads are answered again", began)
		}
		if err == nil || errors.As(err, &parked) {
			return v, err
		}
		if ctx.Err() != nil {
			return v, errOver
		}
		failing.note("cannot take over "+p.String()+", trying again", err)
		if retry.sleep(ctx) != nil {
			return v, errOver
		}
	}
}
