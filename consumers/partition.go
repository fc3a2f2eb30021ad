package consumers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
	"github.com/segmentio/kafka-go"
)

// partition consumes one partition for the length of one generation: fetch,
// build a batch, have its intent committed, insert, say done.
type partition struct {
	c     *Consumer
	gen   *generation
	role  schemas.Topic
	topic string
	id    int

	batchBytes int // memory of one batch; a larger one freezes

	decoder *schemas.Decoder
	reader  recordReader
	filter  filter
	event   schemas.Event
	staged  stage
	pos     int64  // next offset to take in; the builder's own
	build   *batch // being filled
	anew    []anew // rollups that are made anew; of whoever inserts

	mu        sync.Mutex
	recovered bool
	adopting  bool // pending are intents of other rules, to be announced anew
	parked    *parkError
	next      int64              // first offset not done
	pending   []*batch           // frozen and not done, in order
	spare     [][]*rows          // tables of batches that are done
	changed   chan struct{}      // wakes the builder: pending shrank
	intended  chan struct{}      // wakes the inserter: an intent stands
	caughtUp  time.Time          // when the fetch that last found the end was sent
	lag       int64              // records between next and the end of the log, at the last answer
	waiting   time.Time          // since of build, zero: it has no record
	movedAt   time.Time          // when next last moved
	mark      time.Time          // the watermark said last
	said      kafka.OffsetCommit // what was committed last
	repairs   []audits.Finding   // confirmed by the audit, to be mended between two batches
	repairing bool               // some were given and are not all settled
	forgot    bool               // repairs have put in rows that the filter does not know
	look      bool               // for rollups that are made anew
}

// parkError stops one partition and says why; the others go on. Only a new
// generation, an operator's flag or a restart tries again.
type parkError struct {
	reason string // stable, for metrics
	err    error
}

func (e *parkError) Error() string { return e.reason + ": " + e.err.Error() }
func (e *parkError) Unwrap() error { return e.err }

func park(reason, format string, args ...any) error {
	return &parkError{reason: reason, err: fmt.Errorf(format, args...)}
}

// errOver says that the generation is over: what is buffered is dropped and a
// new owner goes on from the committed intent.
var errOver = errors.New("the generation is over")

func (p *partition) String() string { return fmt.Sprintf("%s/%d", p.topic, p.id) }

func newPartition(gen *generation, role schemas.Topic, id int) *partition {
	return &partition{
		c: gen.c, gen: gen, role: role, topic: gen.c.Topics.Name(role), id: id,
		reader:   recordReader{until: noEnd},
		decoder:  schemas.NewDecoder(gen.c.Limits),
		changed:  make(chan struct{}, 1),
		intended: make(chan struct{}, 1),
		movedAt:  gen.c.now(),
	}
}

// run owns the partition until the generation ends or it parks. A parked
// partition keeps its place so that the generation lives on (kafka-go ends a
// generation when one of its functions returns).
func (p *partition) run(ctx context.Context, committed committedOffset) {
	if job := p.c.replaying; job != nil {
		p.replayHere(ctx, job)
		p.gen.keepPlace(ctx)
		return
	}
	err := p.consume(ctx, committed)
	var parked *parkError
	switch {
	case errors.As(err, &parked):
	case err == nil || ctx.Err() != nil:
		return
	case errors.Is(err, errOver):
		// The lease ran out before kafka-go noticed: join anew.
		p.gen.end(err)
		return
	default:
		// Nothing else should come up; if it does, it must be seen.
		parked = &parkError{reason: "failed", err: err}
	}
	p.park(parked)
	p.gen.keepPlace(ctx)
}

func (p *partition) consume(ctx context.Context, committed committedOffset) error {
	if err := p.recover(ctx, committed); err != nil {
		return err
	}
	p.mu.Lock()
	p.recovered, p.next = true, p.pos
	p.mu.Unlock()
	p.gen.kick()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Reading stops at the end of the generation and when the consumer
	// drains; inserting goes on while intents stand.
	reading, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(p.gen.draining, stop)()
	answers := make(chan *fetched, 1)
	built := make(chan struct{})
	var wg sync.WaitGroup
	start := func(loop func() error) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := loop(); err != nil {
				cancel(err)
			}
		}()
	}
	start(func() error { defer close(answers); return p.fetchLoop(reading, p.pos, answers) })
	start(func() error { return p.insertLoop(ctx, built) })
	if err := p.buildLoop(reading, answers); err != nil {
		cancel(err)
	}
	close(built)
	wg.Wait()
	return context.Cause(ctx)
}

// fetchLoop reads on from offset, one answer ahead of the builder. It parks
// where Kafka no longer has what comes next: nothing is skipped (invariant 6).
func (p *partition) fetchLoop(ctx context.Context, offset int64, answers chan<- *fetched) error {
	var retry backoff
	for ctx.Err() == nil {
		began := p.c.now()
		f, err := p.c.source.fetch(ctx, p.topic, p.id, offset, p.c.source.maxWait)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, kafka.OffsetOutOfRange) {
				return p.outOfRange(ctx, offset)
			}
			p.c.fetchErrors.note("cannot fetch, trying again", err)
			if retry.sleep(ctx) != nil {
				return nil
			}
			continue
		}
		retry = backoff{}
		p.c.fetchErrors.clearSince("fetching again", began)
		if f.logStart > offset {
			return park("log_start", "Kafka's log of %s starts at offset %d, but %d is next: records were deleted before they were counted", p, f.logStart, offset)
		}
		// The next offset is known before the records are decoded: the end
		// of the last whole batch in the answer.
		after := endOfLastBatch(f.raw, offset)
		select {
		case answers <- f:
		case <-ctx.Done():
			return nil
		}
		offset = after
	}
	return nil
}

func (p *partition) outOfRange(ctx context.Context, offset int64) error {
	first, end, err := p.logRange(ctx)
	if err != nil {
		return err
	}
	if offset < first {
		return park("log_start", "Kafka's log of %s starts at offset %d, but %d is next: records were deleted before they were counted", p, first, offset)
	}
	return park("topic_changed", "Kafka's log of %s ends at offset %d, but %d is next: the topic was truncated or made anew; raise --epoch if it was made anew", p, end, offset)
}

// buildLoop fills batches and freezes them. It returns when reading stops.
func (p *partition) buildLoop(ctx context.Context, answers <-chan *fetched) error {
	timer := time.NewTimer(p.c.Linger)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case f, ok := <-answers:
			if !ok {
				return nil
			}
			if err := p.take(ctx, f, true); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			p.observe(f)
			f.release()
		case <-timer.C:
		case <-p.changed:
		}
		timer.Reset(p.freezeIfDue())
	}
}

// take appends the records of an answer to the batch being built. Where the
// filter must ask ClickHouse, the rest of the answer is staged, asked about
// at once, and then taken in the same order. live is false in recovery, where
// the range to build is given and nothing freezes.
func (p *partition) take(ctx context.Context, f *fetched, live bool) error {
	if p.build == nil {
		p.startBatch(p.pos)
	}
	p.staged.reset()
	end, err := p.reader.each(f, p.pos, func(rec *record) error {
		if p.staged.len() > 0 || !p.count(rec) {
			p.staged.add(rec)
			return nil
		}
		p.seal(rec, f)
		if live {
			return p.freezeIfFull(ctx, rec.offset)
		}
		return nil
	})
	if errors.Is(err, errCorrupt) {
		return park("corrupt", "cannot read %s: %w; check the broker's disk, then move past it with the broker's own tools", p, err)
	}
	if err != nil {
		return err
	}
	if err := p.takeStaged(ctx, f, live); err != nil {
		return err
	}
	p.filter.settle()
	p.pos = max(p.pos, end)
	if p.pos > p.build.first {
		p.build.last = p.pos - 1
	}
	p.mu.Lock()
	p.waiting = time.Time{}
	if p.build.lastKoff >= 0 {
		p.waiting = p.build.since
	}
	p.mu.Unlock()
	return nil
}

func (p *partition) takeStaged(ctx context.Context, f *fetched, live bool) error {
	for i := 0; i < p.staged.len(); {
		rec := p.staged.at(i)
		if !p.count(rec) {
			// One question for everything staged, not one per record.
			for j := i + 1; j < p.staged.len(); j++ {
				p.ask(p.staged.at(j))
			}
			if err := p.resolve(ctx); err != nil {
				return err
			}
			continue
		}
		p.seal(rec, f)
		if live {
			if err := p.freezeIfFull(ctx, rec.offset); err != nil {
				return err
			}
		}
		i++
	}
	return nil
}

// resolve retries until ClickHouse answers or the generation is over.
func (p *partition) resolve(ctx context.Context) error {
	var retry backoff
	for {
		began := p.c.now()
		err := p.filter.resolve(ctx)
		if err == nil {
			p.c.readErrors.clearSince("ids are looked up again", began)
			return nil
		}
		if ctx.Err() != nil {
			return errOver
		}
		p.c.readErrors.note("cannot look up ids, trying again", err)
		if retry.sleep(ctx) != nil {
			return errOver
		}
	}
}

// startBatch begins a batch at offset first.
func (p *partition) startBatch(first int64) {
	p.build = &batch{
		span: span{first, first - 1}, tables: p.emptyTables(), lastKoff: -1, startedAt: p.c.now(),
	}
}

// emptyTables returns tables that a batch before has grown, or new ones.
func (p *partition) emptyTables() []*rows {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.spare); n > 0 {
		tables := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return tables
	}
	return tablesOf(p.role)
}

// seal records rec as the last of the range. Its fingerprint is taken where
// the range can end, while its bytes still stand.
func (p *partition) seal(rec *record, f *fetched) {
	if p.build.lastKoff < 0 {
		p.build.since = p.arrivedAfter(rec, f)
	}
	p.build.note(rec)
	p.build.last = rec.offset
	p.pos = rec.offset + 1
	if rec.final || p.full() {
		p.build.lastCRC = recordCRC(rec)
	}
}

// arrivedAfter returns an instant before which nothing arrived behind rec: its
// own timestamp where that is believable, which one after the asking of the
// fetch that brought it is not; else when the end of the log was last seen
// before it.
func (p *partition) arrivedAfter(rec *record, f *fetched) time.Time {
	at := time.UnixMilli(rec.timestamp)
	if at.After(f.sentAt) || at.Before(p.caughtUp) {
		return p.caughtUp
	}
	return at
}

// full says that the batch has reached its bound.
func (p *partition) full() bool {
	return int(p.build.counted())+p.build.rejected.len() >= maxBatchRows || p.build.bytes >= p.batchBytes
}

// freezeIfFull freezes the batch in the middle of an answer when it has
// reached its bound, and waits while one is on its way already.
func (p *partition) freezeIfFull(ctx context.Context, last int64) error {
	if !p.full() {
		return nil
	}
	for p.inFlight() >= pipelined {
		select {
		case <-p.changed:
		case <-ctx.Done():
			return errOver
		}
	}
	p.freeze(last)
	p.startBatch(last + 1)
	return nil
}

// pipelined is how many batches of a partition may be frozen at once. While
// one is inserted the next is built, and goes on growing, instead of waiting
// frozen: of the same memory larger batches are made, which ClickHouse merges
// less often. Their intents need not be ahead, because other partitions'
// INSERTs fill the moment of a commit.
const pipelined = 1

func (p *partition) inFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pending)
}

// freezeIfDue freezes a batch that has lingered while nothing is under way,
// and returns when to look again. While an INSERT runs the batch keeps
// growing, so that a busy ClickHouse gets larger blocks.
func (p *partition) freezeIfDue() time.Duration {
	b := p.build
	if b == nil || b.empty() {
		return p.c.Linger
	}
	age := p.c.now().Sub(b.startedAt)
	if age < p.c.Linger {
		return p.c.Linger - age
	}
	if b.lastKoff < 0 && age < 4*p.c.Linger {
		return p.c.Linger // control records alone: the next data may come with them
	}
	if p.inFlight() > 0 {
		return p.c.Linger
	}
	p.freeze(b.last)
	p.build = nil
	p.startBatch(p.pos)
	return p.c.Linger
}

// freeze ends the batch at last and hands it to the committer.
func (p *partition) freeze(last int64) {
	p.build.close(last)
	p.mu.Lock()
	p.pending = append(p.pending, p.build)
	p.waiting = time.Time{}
	p.mu.Unlock()
	p.build = nil
	p.gen.kick()
}

// insertLoop writes the batches whose intent stands, in order, until the
// generation is over, or nothing is built any more and all that was frozen is
// written: a clean stop leaves no intents.
func (p *partition) insertLoop(ctx context.Context, built <-chan struct{}) error {
	for draining := false; ; {
		if todo := p.takeRepairs(); len(todo) > 0 && !draining {
			if err := p.repair(ctx, todo); err != nil {
				return err
			}
		}
		if !draining && p.takeLook() {
			if err := p.makeAnew(ctx); err != nil {
				return err
			}
		}
		if b := p.firstIntended(); b != nil {
			if err := p.write(ctx, b); err != nil {
				return err
			}
			p.done(b)
			continue
		}
		if draining && p.inFlight() == 0 {
			return nil
		}
		select {
		case <-p.intended:
		case <-built:
			draining, built = true, nil
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *partition) firstIntended() *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) > 0 && p.pending[0].intended {
		return p.pending[0]
	}
	return nil
}

// done moves past a batch that is wholly in ClickHouse.
func (p *partition) done(b *batch) {
	p.c.metrics.batch(p, b)
	p.mu.Lock()
	p.pending = p.pending[1:]
	// Nobody reads the rows any more: every INSERT of them has returned.
	for _, t := range b.tables {
		t.reset()
	}
	p.spare = append(p.spare, b.tables)
	p.next = b.last + 1
	p.movedAt = p.c.now()
	p.mu.Unlock()
	wake(p.changed)
	p.gen.kick()
	wake(p.c.progressed)
}

// wake makes a waiter look again; one who is looking already will.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// observe takes from an answer how far the log goes and whether we are at its
// end.
func (p *partition) observe(f *fetched) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pos >= f.highWatermark {
		p.caughtUp = f.sentAt
	}
	lag := f.highWatermark - p.next
	if p.lag <= 0 && lag > 0 {
		p.movedAt = p.c.now() // it stood still for want of records
	}
	p.lag = lag
	p.filter.acknowledge(p.next)
}

// watermark returns the arrival instant before which everything is counted:
// the fetch that found the end if nothing waits, else what is known of the
// oldest record that waits. It never goes back, because what was true stays true.
func (p *partition) watermark() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.recovered {
		return p.mark
	}
	at := p.caughtUp
	if !p.waiting.IsZero() {
		at = p.waiting
	}
	for i := len(p.pending) - 1; i >= 0; i-- {
		if p.pending[i].lastKoff >= 0 {
			at = p.pending[i].since
		}
	}
	if at.After(p.mark) {
		p.mark = at
	}
	return p.mark
}
