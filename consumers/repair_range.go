package consumers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// repairRange brings what the tables hold of a range to what Kafka says, if
// Kafka and the ledger agree about it.
func (p *partition) repairRange(ctx context.Context, f *audits.Finding) error {
	s := span{f.First, f.Last}
	if f.What == audits.Batches {
		return p.repairLedger(ctx, f, s)
	}
	rows, err := p.readLedgered(ctx, s)
	if err != nil {
		return err
	}
	if len(rows) != 1 {
		return errLater // the ledger is wrong, too
	}
	b, q, release, err := p.shadow(ctx, s)
	if err != nil {
		return err
	}
	defer release()
	before := rows[0].saidBefore(b)
	if !before && !rows[0].says(b) {
		// A duplicate counts where the event that it repeats is lost.
		if lacking, err := p.lacksBefore(ctx, s); err != nil {
			return err
		} else if lacking {
			return errLater
		}
		f.State, f.Note = audits.Unprovable, "what is built of the range now is not what the ledger says: other rules may have counted it"
		return nil
	}
	changed, err := q.verifyRange(ctx, b, p.repairToken(f))
	p.forgot = p.forgot || changed.rows > 0
	if err == nil && before {
		if err = p.removeLedgered(ctx, s, rows, 0); err == nil {
			err = q.verifyLedger(ctx, b)
		}
	}
	if err != nil {
		return err
	}
	f.State, f.Token, f.Note = audits.Repaired, changed.token, changed.String()
	if before {
		f.Note += "; the ledger says of events that later ranges have counted again that they are duplicates"
	} else if changed.deleted+changed.inserted+changed.mended == 0 {
		f.State, f.Note = audits.Fine, "it was mended already"
	}
	return nil
}

// changes are what verifyRange did.
type changes struct {
	deleted, inserted, mended int
	rows                      int // of those inserted, without rejections
	token                     string
}

func (c changes) String() string {
	return fmt.Sprintf("%d rows were put in from Kafka, %d doubled ones were removed, %d keys of rollups were mended", c.inserted, c.deleted, c.mended)
}

// shadow builds a range again, apart from the batch that is being built, by the
// filter as it was at the start of the range.
func (p *partition) shadow(ctx context.Context, s span) (b *batch, q *partition, release func(), err error) {
	if s.last-s.first >= 2*maxBatchRows*100 {
		return nil, nil, nil, fmt.Errorf("offsets %s are too many for one range", s)
	}
	q = newPartition(p.gen, p.role, p.id)
	q.anew = p.anew
	w := where{epoch: p.c.Epoch, kpart: uint16(p.id), partitions: p.c.Partitions}
	q.filter, err = retryRead(ctx, p, p.c.readErrors, func(ctx context.Context) (filter, error) {
		if p.role == schemas.ConsumptionTopic {
			return newConsumedFilter(ctx, p.c.db, w, s.first, windowOffsets, repairFilterBytes)
		}
		return newStatedFilter(ctx, p.c.db, w, p.role, s.first)
	})
	if err != nil {
		return nil, nil, nil, err
	}
	first, _, err := p.logRange(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	if first > s.first {
		return nil, nil, nil, park("log_start", "Kafka's log of %s starts at offset %d, so offsets %s cannot be read again", p, first, s)
	}
	release, err = p.c.holdMemory(ctx, s)
	if err != nil {
		return nil, nil, nil, err
	}
	b, err = q.rebuild(ctx, s)
	if raw, ok := p.c.EventsTTL.RawFrom(p.c.now()); err == nil && ok && p.role == schemas.ConsumptionTopic && b.lastKoff >= 0 && b.lastTime < int64(raw) {
		err = park("aged_out", "offsets %s of %s came before raw events are sure to be kept (--events-ttl %s), so what is missing may have aged out", s, p, p.c.EventsTTL)
	}
	if err == nil {
		err = q.leaveToLater(ctx, b)
	}
	if err != nil {
		release()
		return nil, nil, nil, err
	}
	return b, q, release, nil
}

// leaveToLater takes rows out of a range that is built again which are lost, and
// whose events later ranges have counted since: sent again, they were no
// duplicates of anything that the tables had. Put in, they would count twice.
func (p *partition) leaveToLater(ctx context.Context, b *batch) error {
	later := make([]*rows, len(b.tables))
	for i, t := range b.tables {
		t.anyTime = true
		_, lost, err := p.odd(ctx, b.span, t)
		if err != nil {
			return err
		}
		again, err := p.countedAfter(ctx, b.span, t, lost)
		if err != nil {
			return err
		}
		kept := make(map[uint64]bool, t.len())
		for _, off := range t.koff.ColUInt64 {
			kept[off] = !again[off]
		}
		later[i] = t.only(kindOf(t.table), again)
		if len(again) > 0 {
			p.c.log.Warn("events of a range are lost, and were counted again later: they stay where they are", "partition", p.String(), "offsets", b.String(), "rows", len(again))
			b.tables[i] = t.only(kindOf(t.table), kept)
			b.duplicates += uint64(len(again))
			b.later = later
		}
	}
	return nil
}

// countedAfter says which rows, by their offset, have an event that was counted
// behind a range: under the same time, or, within the window, under another
// (invariant 5).
func (p *partition) countedAfter(ctx context.Context, s span, t *rows, which map[uint64]bool) (again map[uint64]bool, err error) {
	type id struct{ workspace, id string }
	lost := make(map[id][]eventAt, len(which))
	var names []eventName
	for i, off := range t.koff.ColUInt64 {
		if name := t.name(i); which[off] {
			key := id{name.workspace, name.id}
			lost[key] = append(lost[key], eventAt{name, off})
			names = append(names, name)
		}
	}
	behind := `SELECT workspace_id, event_id, toUnixTimestamp64Milli(time), koff FROM ` + t.table + ` WHERE epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND koff > {last:UInt64}`
	query := behind + ` AND (workspace_id, time, event_id) IN (SELECT workspace_id, time, event_id FROM asked)`
	params := spanParams(s)
	if p.role == schemas.ConsumptionTopic {
		// Apart, so that each has its index.
		query += ` UNION ALL ` + behind + ` AND koff <= {last:UInt64} + {window:UInt64} AND (workspace_id, event_id) IN (SELECT workspace_id, event_id FROM asked)`
		params["window"] = fmt.Sprint(windowOffsets)
	}
	var hits []eventAt
	for chunk := range slices.Chunk(names, lookupsPerQuery) {
		asked, err := askedTable(chunk)
		if err != nil {
			return nil, err
		}
		found, err := readAll(ctx, p, query, params, func(rows driver.Rows) (hit eventAt, err error) {
			err = rows.Scan(&hit.workspace, &hit.id, &hit.at, &hit.off)
			return hit, err
		}, clickhouse.WithExternalTable(asked))
		if err != nil {
			return nil, err
		}
		hits = append(hits, found...)
	}
	known, err := p.inLog(ctx, t.table, hits)
	again = make(map[uint64]bool)
	for _, hit := range known {
		for _, row := range lost[id{hit.workspace, hit.id}] {
			if hit.at == row.at || hit.off-row.off <= windowOffsets {
				again[row.off] = true
			}
		}
	}
	return again, err
}

func (r *rows) name(i int) eventName {
	return eventName{string(r.workspace.row(i)), string(r.id.row(i)), r.time.ColInt64[i]}
}

// eventAt is an event that a table has, by its offset.
type eventAt struct {
	eventName
	off uint64
}

const (
	hitsApart  = 1000   // offsets between two records that are read one by one
	hitsAtOnce = 20_000 // offsets that are read at once
)

// inLog returns the hits that Kafka has at their offset: a row may stand at one
// that is not its own.
func (p *partition) inLog(ctx context.Context, table string, hits []eventAt) (known []eventAt, err error) {
	if len(hits) == 0 {
		return nil, nil
	}
	first, end, err := p.logRange(ctx)
	if err != nil {
		return nil, err
	}
	hits = slices.DeleteFunc(hits, func(hit eventAt) bool { return hit.off < uint64(first) || hit.off >= uint64(end) })
	slices.SortFunc(hits, func(a, b eventAt) int { return cmp.Compare(a.off, b.off) })
	for len(hits) > 0 {
		n := 1
		for n < len(hits) && hits[n].off-hits[n-1].off < hitsApart && hits[n].off-hits[0].off < hitsAtOnce {
			n++
		}
		q := newPartition(p.gen, p.role, p.id)
		q.filter = everyFresh{}
		b, err := q.rebuild(ctx, span{int64(hits[0].off), int64(hits[n-1].off)})
		if err != nil {
			return nil, err
		}
		at := make(map[uint64]eventName)
		for _, t := range b.tables {
			for i, off := range t.koff.ColUInt64 {
				if t.table == table {
					at[off] = t.name(i)
				}
			}
		}
		for _, hit := range hits[:n] {
			if at[hit.off] == hit.eventName {
				known = append(known, hit)
			}
		}
		hits = hits[n:]
	}
	return known, nil
}

// everyFresh is a filter for reading records, whatever is counted.
type everyFresh struct{}

func (everyFresh) check(*schemas.Event, int64) verdict { return fresh }
func (everyFresh) add(*schemas.Event, int64)           {}
func (everyFresh) resolve(context.Context) error       { return nil }
func (everyFresh) settle()                             {}
func (everyFresh) acknowledge(int64)                   {}

// unprovable returns why a range can never be repaired, or "".
func unprovable(err error) string {
	var parked *parkError
	if errors.As(err, &parked) && slices.Contains([]string{"log_start", "topic_changed", "aged_out"}, parked.reason) {
		return parked.err.Error()
	}
	return ""
}

// lacksBefore says that rows of earlier ranges are missing, which is not known
// to be for good: they are put in first.
func (p *partition) lacksBefore(ctx context.Context, s span) (lacking bool, err error) {
	if p.role != schemas.ConsumptionTopic {
		return false, nil
	}
	const query = `WITH told AS (SELECT DISTINCT first, inserted FROM ingest_batches WHERE topic = {topic:String} AND epoch = {epoch:UInt32}
			AND kpart = {kpart:UInt16} AND last < {first:UInt64} AND last_time >= fromUnixTimestamp64Milli({raw:Int64}, 'UTC'))
		SELECT (SELECT count() FROM events WHERE epoch = {epoch:UInt32} AND kpart = {kpart:UInt16}
				AND koff >= (SELECT min(first) FROM told) AND koff < {first:UInt64}) < (SELECT sum(inserted) FROM told)
			AND (SELECT count() FROM audits FINAL WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16}
				AND workspace_id = '' AND state = 'unprovable' AND first < {first:UInt64}) = 0`
	params := spanParams(s)
	raw, _ := p.c.EventsTTL.RawFrom(p.c.now())
	params["raw"] = fmt.Sprint(int64(max(raw, minKafkaTime)))
	err = p.read(ctx, query, params, func(rows driver.Rows) error {
		var yes uint8
		err := rows.Scan(&yes)
		lacking = yes == 1
		return err
	})
	return lacking, err
}

// verifyRange removes rows of a range that were not built or are there twice,
// puts in what is missing, and mends the rollups for both.
func (p *partition) verifyRange(ctx context.Context, b *batch, token func(table string) string) (done changes, err error) {
	var touched []interval
	for i, t := range b.tables {
		t.anyTime = true // a row that should not be there may be of any time
		if err := p.removed(ctx, t.table); err != nil {
			return done, err
		}
		surplus, lost, err := p.odd(ctx, b.span, t)
		if err != nil {
			return done, err
		}
		var minutes []interval
		for _, row := range surplus {
			minutes = append(minutes, row.minute())
		}
		if len(lost) > 0 {
			minutes = append(minutes, t.only(kindOf(t.table), lost).intervals()...)
			done.inserted += len(lost)
		}
		if len(b.later) > 0 {
			minutes = append(minutes, b.later[i].intervals()...)
		}
		if p.role == schemas.ConsumptionTopic {
			if err := p.touch(ctx, minutes); err != nil {
				return done, err
			}
			touched = append(touched, minutes...)
		}
		done.deleted += len(surplus)
		if err := p.remove(ctx, t.table, surplus); err != nil {
			return done, err
		}
		done.rows += len(lost)
		if err := p.verifyTable(ctx, b.span, t); err != nil {
			return done, err
		}
	}
	n, err := p.verifyRangeRejections(ctx, b)
	if err != nil {
		return done, err
	}
	done.deleted += n.deleted
	done.inserted += n.inserted
	before, err := p.provableFrom(ctx)
	if err != nil {
		return done, err
	}
	err = p.mendBefore(ctx, touched, before, 0, token, &done)
	return done, err
}

// touch says, before raw rows are removed or put in, that the hours of their
// minutes are to be audited: who is stopped between that and mending the rollups
// leaves a range in which nothing is wrong any more.
func (p *partition) touch(ctx context.Context, minutes []interval) error {
	var hours []schemas.Millis
	for _, s := range minutes {
		hours = append(hours, schemas.Millis(s.from-s.from%time.Hour.Milliseconds()))
	}
	slices.Sort(hours)
	hours = slices.Compact(hours)
	return p.record(ctx, "hours to be audited", func(ctx context.Context) error {
		return audits.MarkHours(ctx, p.c.db, p.c.Epoch, hours, true, p.c.now())
	})
}

// mendBefore mends the rollups, from one of the levels on, in minutes whose raw
// rows have changed. What minutes before an instant should hold is not known, for
// raw events of theirs may have aged out or are missing for good: these are taken
// for right.
func (p *partition) mendBefore(ctx context.Context, touched []interval, before schemas.Millis, from int, token func(table string) string, done *changes) error {
	var known, unknown []interval
	for _, s := range touched {
		if s.from < int64(before) {
			unknown = append(unknown, s)
		} else {
			known = append(known, s)
		}
	}
	for _, part := range []struct {
		touched []interval
		levels  []rollup.Level
	}{{known, rollup.Levels[from:]}, {unknown, rollup.Levels[max(from, 1):]}} {
		mended, err := p.mendRollups(ctx, part.touched, part.levels, token, nil)
		done.mended += mended.keys
		done.token = cmp.Or(mended.token, done.token)
		if err != nil {
			return err
		}
	}
	return nil
}

// provableFrom is the start of the first hour whose raw events are all there:
// they have not aged out, and no range lacks rows for good that may have counted
// into it.
func (p *partition) provableFrom(ctx context.Context) (schemas.Millis, error) {
	before, err := p.unprovableBefore(ctx)
	return max(before, p.rawFrom()), err
}

// rawFrom is the start of the first hour of which no raw event may have aged out.
func (p *partition) rawFrom() schemas.Millis {
	raw, ok := p.c.EventsTTL.RawFrom(p.c.now())
	if !ok {
		return schemas.NoInstant
	}
	hour := schemas.Millis(time.Hour.Milliseconds())
	return (raw + hour - 1) / hour * hour
}

// kindOf is the type of event whose rows a table holds.
func kindOf(table string) schemas.EventType {
	switch table {
	case "credit_entries":
		return schemas.CreditsGranted
	case "campaigns":
		return schemas.CampaignUpdated
	case "workspaces":
		return schemas.WorkspaceUpdated
	}
	return schemas.CreditsConsumed
}

func spanParams(s span) clickhouse.Parameters {
	return clickhouse.Parameters{"first": fmt.Sprint(s.first), "last": fmt.Sprint(s.last)}
}
