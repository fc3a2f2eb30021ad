package consumers

import (
	"context"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
)

// Replay says which offsets of a partition are to be read again.
type Replay struct {
	Topic     string
	Partition int
	From, To  int64 // both included
}

// Replayed is what became of one range of the ledger.
type Replayed struct {
	First, Last int64
	State       audits.State // ok, repaired or unprovable
	Note        string
}

// replaying is a replay under way.
type replaying struct {
	Replay
	done chan error // buffered: one outcome
	out  []Replayed
}

func (r *replaying) end(err error) {
	select {
	case r.done <- err:
	default:
	}
}

// errTaken says that the partition is somebody else's.
var errTaken = errors.New("another member of the consumer group owns the partition: stop the consumers first")

// Replay reads counted offsets again, puts in what the tables lack of them,
// removes what is there twice and mends the rollups, range by range of the
// ledger; a gap in the ledger is counted. It joins the group, so that nobody
// else inserts meanwhile, and commits nothing. Use it instead of Run.
func (c *Consumer) Replay(ctx context.Context, what Replay) ([]Replayed, error) {
	job := &replaying{Replay: what, done: make(chan error, 1)}
	c.replaying = job
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	select {
	case err := <-job.done:
		cancel()
		return job.out, errors.Join(err, <-ended)
	case err := <-ended:
		return nil, errors.Join(err, ctx.Err())
	}
}

// replayHere does the job if it is about this partition.
func (p *partition) replayHere(ctx context.Context, job *replaying) {
	if p.topic != job.Topic || p.id != job.Partition {
		return
	}
	out, err := p.replayRanges(ctx, job.Replay)
	if errors.Is(err, errOver) {
		return // the next generation begins again
	}
	job.out = out
	job.end(err)
}

func (p *partition) replayRanges(ctx context.Context, what Replay) (out []Replayed, err error) {
	if err := p.lookForRebuilds(ctx); err != nil {
		return nil, err
	}
	if err := p.waitForInserts(ctx); err != nil {
		return nil, err
	}
	ranges, err := p.ledgerRanges(ctx, what)
	if err != nil {
		return nil, err
	}
	for _, f := range ranges {
		err := p.repairRange(ctx, &f)
		if why := unprovable(err); why != "" {
			f.State, f.Note = audits.Unprovable, why
		} else if err != nil {
			err = fmt.Errorf("cannot replay offsets %d-%d of %s: %w", f.First, f.Last, p, err)
			return out, errors.Join(err, p.countRepair(ctx)) // of those before
		}
		out = append(out, Replayed{f.First, f.Last, f.State, f.Note})
	}
	// Once, whatever was mended: one that was stopped may have mended more.
	return out, p.countRepair(ctx)
}

// ledgerRanges are the ranges that offsets fall into, and the gaps between them.
func (p *partition) ledgerRanges(ctx context.Context, what Replay) (all []audits.Finding, err error) {
	const query = `SELECT DISTINCT first, last FROM ingest_batches WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16}
		AND last >= {first:UInt64} AND first <= {last:UInt64} ORDER BY first, last`
	found, err := readAll(ctx, p, query, spanParams(span{what.From, what.To}), func(rows driver.Rows) (span, error) {
		var first, last uint64
		err := rows.Scan(&first, &last)
		return span{int64(first), int64(last)}, err
	})
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(found); i++ {
		if found[i].first <= found[i-1].last {
			return nil, fmt.Errorf("ranges %s and %s of the ledger of %s overlap: the audit repairs what can be", found[i-1], found[i], p)
		}
	}
	if len(found) == 0 || found[len(found)-1].last < what.To {
		return nil, fmt.Errorf("offsets of %s up to %d were not counted yet: a consumer counts them", p, what.To)
	}
	add := func(table string, s span) {
		all = append(all, audits.Finding{Place: audits.Place{Topic: p.topic, Epoch: p.c.Epoch, Partition: p.id, What: table, First: s.first, Last: s.last}, FirstSeenAt: schemas.MillisOf(p.c.now())})
	}
	next := what.From
	for _, s := range found {
		if s.first > next {
			add(audits.Batches, span{next, s.first - 1})
		}
		add(audits.Events, s)
		next = s.last + 1
	}
	return all, nil
}
