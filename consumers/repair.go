package consumers

import (
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

const (
	// repairEvery is how often confirmed findings of the audit are looked for.
	repairEvery = 5 * time.Second
	// rebuildEvery is the same while a rollup is made anew, which waits for it.
	rebuildEvery = 500 * time.Millisecond
	// repairsAtOnce bounds how long batches wait for repairs.
	repairsAtOnce = 200
	// repairFilterBytes is the memory for ids of a range that is built again: a
	// slice that is larger has its ids looked up.
	repairFilterBytes = 16 << 20
	// deleteWithin bounds one lightweight DELETE, which waits for its mutation.
	deleteWithin = 5 * time.Minute
)

// repairLoop hands what the audit has confirmed to the partitions that own it.
func (c *Consumer) repairLoop(ctx context.Context) {
	ticker := time.NewTicker(c.RepairEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// Those that have settled what they were given before this is read: they
		// must not be given the same again.
		var free []*partition
		for _, p := range c.partitions() {
			p.mu.Lock()
			if !p.repairing {
				free = append(free, p)
			}
			p.mu.Unlock()
		}
		if len(free) == 0 {
			continue
		}
		began := c.now()
		every := c.RepairEvery
		if c.lookForRebuilds(ctx) {
			every = min(every, rebuildEvery)
		}
		ticker.Reset(every)
		found, err := c.confirmed(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.readErrors.note("cannot read what the audit has found, trying again", err)
			continue
		}
		c.readErrors.clearSince("reads are answered again", began)
		for _, p := range free {
			var mine []audits.Finding
			for _, f := range found {
				if f.Topic == p.topic && f.Partition == p.id && len(mine) < repairsAtOnce {
					mine = append(mine, f)
				}
			}
			if len(mine) == 0 {
				continue
			}
			p.mu.Lock()
			p.repairs, p.repairing = mine, true
			p.mu.Unlock()
			wake(p.intended)
		}
	}
}

// confirmed reads what is to be repaired, ranges first and in order: what one
// range lacks may be why a later one has too much. A rollup comes after those that
// it is made from, for it waits for them.
func (c *Consumer) confirmed(ctx context.Context) (found []audits.Finding, err error) {
	const query = audits.Query + ` AND state = 'drift' AND step = 2 ORDER BY workspace_id = '' DESC, topic, kpart, what != 'ingest_batches', first, indexOf({rollups:Array(String)}, what), hour`
	var rollups []string
	for i := range rollup.Levels {
		rollups = append(rollups, rollup.Levels[i].Table)
	}
	bound := rollup.Parameters{}
	bound.Integer("epoch", int64(c.Epoch))
	bound.Strings("rollups", rollups)
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters(bound)))
	err = schemas.EachRow(ctx, c.db, query, func(scan func(...any) error) error {
		var f audits.Finding
		err := f.Scan(scan)
		found = append(found, f)
		return err
	})
	return found, err
}

// takeRepairs returns what is to be repaired now.
func (p *partition) takeRepairs() []audits.Finding {
	p.mu.Lock()
	defer p.mu.Unlock()
	todo := p.repairs
	p.repairs = nil
	return todo
}

// errPutIn ends a generation whose filter is not what the tables hold.
var errPutIn = errors.New("lost rows were put in again, so what was counted is read anew")

// errLater says that a finding has to wait, mostly for another one.
var errLater = errors.New("it is tried again after the others of its partition")

// repair mends what the audit has confirmed, between two batches (invariant
// 10): nobody else adds to what is mended then. What cannot be mended now stays
// as it is and is tried again; only the end of the generation is an error.
func (p *partition) repair(ctx context.Context, todo []audits.Finding) (err error) {
	defer func() {
		p.mu.Lock()
		p.repairing = false
		p.mu.Unlock()
	}()
	if err := p.waitForInserts(ctx); err != nil {
		return err
	}
	defer func() {
		// What is sent again of the rows that were put in is a duplicate from now on,
		// also in the batches that are built but not written.
		if p.forgot && err == nil {
			p.gen.end(errPutIn)
			err = errOver
		}
	}()
	waiting := false // a range is still wrong, so raw events cannot be trusted
	for i := range todo {
		f := todo[i]
		began := p.c.now()
		var err error
		switch {
		case f.Range():
			err = p.repairRange(ctx, &f)
		case waiting && f.What == rollup.Levels[0].Table:
			err = errLater
		default:
			err = p.repairHour(ctx, &f)
		}
		switch why := unprovable(err); {
		case errors.Is(err, errOver) || ctx.Err() != nil:
			return errOver
		case why != "":
			f.State, f.Note = audits.Unprovable, why
		case errors.Is(err, errLater):
			waiting = waiting || f.Range()
			p.c.log.Warn("a finding of the audit waits for others", "partition", p.String(), "place", f.String(), "reason", err)
			continue
		case err != nil:
			waiting = waiting || f.Range()
			p.c.log.Error("a finding of the audit cannot be repaired now", "partition", p.String(), "place", f.String(), "error", err)
			continue
		}
		if err := p.settle(ctx, f, began); err != nil {
			return err
		}
	}
	return nil
}

// settle records what became of a finding: first that figures have changed, so
// that whoever keeps answers asks again, then the finding.
func (p *partition) settle(ctx context.Context, f audits.Finding, began time.Time) error {
	f.Step, f.SettledAt = audits.Settled, schemas.MillisOf(p.c.now())
	if f.State == audits.Repaired {
		f.Step = audits.Mended
	}
	if f.State != audits.Unprovable {
		// Also where nothing is left to mend: who mended it may have been stopped
		// before this.
		if err := p.countRepair(ctx); err != nil {
			return err
		}
	}
	if err := p.record(ctx, "a repair", func(ctx context.Context) error { return audits.Write(ctx, p.c.db, f) }); err != nil {
		return err
	}
	p.c.metrics.repaired.WithLabelValues(f.What, string(f.State)).Inc()
	p.c.log.Error("a finding of the audit is settled: it should not have come up, so please report it", "partition", p.String(), "place", f.String(),
		"state", f.State, "expected", f.Expected, "found", f.Found, "token", f.Token, "note", f.Note, "after", p.c.now().Sub(began).Round(time.Millisecond))
	return nil
}

// record writes what others read of a repair until it stands or the generation
// is over.
func (p *partition) record(ctx context.Context, what string, write func(context.Context) error) error {
	var retry backoff
	for {
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), progressWithin)
		err := write(writing)
		cancel()
		if err == nil {
			return nil
		}
		p.c.readErrors.note("cannot record "+what+", trying again", err)
		if retry.sleep(ctx) != nil {
			return errOver
		}
	}
}

// repairHour mends a rollup from its source, and what is made from it.
func (p *partition) repairHour(ctx context.Context, f *audits.Finding) error {
	at := slices.IndexFunc(rollup.Levels, func(l rollup.Level) bool { return l.Table == f.What })
	if at < 0 {
		return fmt.Errorf("there is no rollup %s", f.What)
	}
	width := max(rollup.Levels[at].Bucket, time.Hour)
	touched := interval{f.WorkspaceID, int64(f.Hour), int64(f.Hour) + width.Milliseconds()}
	switch why, err := p.sourceProven(ctx, at, touched); {
	case err != nil:
		return err
	case why != "":
		f.State, f.Note = audits.Unprovable, why
		return nil
	}
	together, levels := []interval{touched}, rollup.Levels[at:]
	switch {
	case levels[0].Total:
		levels = levels[:1] // nothing is made from it
	case at > 0 && width < levels[len(levels)-1].Bucket:
		others, err := p.othersOfDay(ctx, at, touched)
		if err != nil {
			return err
		}
		together = append(together, others...)
	}
	mended, err := p.mendRollups(ctx, together, levels, p.repairToken(f), nil)
	if err != nil {
		return err
	}
	f.State, f.Token, f.Note = audits.Repaired, mended.token, fmt.Sprintf("%d keys were mended", mended.keys)
	if mended.keys == 0 {
		f.State, f.Note = audits.Fine, "it was mended already"
	}
	return nil
}

// othersOfDay returns the other hours of a day in which a rollup is wrong as well,
// to be mended together: the day is made from all of them, and with one that is
// mended and others that are not it would lose what it has of these.
func (p *partition) othersOfDay(ctx context.Context, at int, hour interval) (others []interval, err error) {
	day, width := (24 * time.Hour).Milliseconds(), hour.to-hour.from
	whole := interval{hour.workspace, hour.from / day * day, hour.from/day*day + day}
	wrong, err := p.differences(ctx, []interval{whole}, &rollup.Levels[at])
	if err != nil {
		return nil, err
	}
	seen := map[int64]bool{hour.from: true}
	for _, d := range wrong {
		from := d.bucket * 1000 / width * width
		if seen[from] || from < int64(p.rawFrom()) {
			continue
		}
		seen[from] = true
		other := interval{hour.workspace, from, from + width}
		switch why, err := p.sourceProven(ctx, at, other); {
		case err != nil:
			return nil, err
		case why == "":
			others = append(others, other)
		}
	}
	return others, nil
}

// sourceProven says why what a rollup is made from cannot be trusted in an
// interval, or returns errLater if that is to be mended first: a rollup that
// agrees with a source that is wrong would lose what it alone still knows.
func (p *partition) sourceProven(ctx context.Context, at int, touched interval) (why string, err error) {
	const missing = "raw events of its partition are missing that Kafka no longer has, or an earlier epoch may have counted into the hour"
	before, err := p.unprovableBefore(ctx)
	switch {
	case err != nil:
		return "", err
	case at == 0 && touched.from < int64(before):
		return missing, nil
	case at == 0 && touched.from < int64(p.rawFrom()):
		return "raw events of the hour may have aged out", nil
	}
	for i := range at {
		source, step := touched, touched.to-touched.from
		if i == 0 {
			// An hour of raw events is as much as one statement may read.
			source.from, step = max(source.from, int64(p.rawFrom())), time.Hour.Milliseconds()
		}
		if rollup.Levels[i].Total || source.from >= source.to {
			continue // nothing is made from a total
		}
		for from := source.from; from < source.to; from += step {
			part := interval{source.workspace, from, min(from+step, source.to)}
			wrong, err := p.differences(ctx, []interval{part}, &rollup.Levels[i])
			switch {
			case err != nil:
				return "", err
			case i == 0 && from < int64(before):
				// What only raw events lack is taken for right, as in mendBefore.
				if slices.ContainsFunc(wrong, func(d difference) bool { return d.events >= 0 }) {
					return missing, nil
				}
			case len(wrong) > 0:
				return "", fmt.Errorf("%s differs from its source as well: %w", rollup.Levels[i].Table, errLater)
			}
		}
	}
	return "", nil
}

// repairToken begins the tokens of a finding's repairs: what is wrong in the same
// way a second time is another finding, and must not pass for a retry.
func (p *partition) repairToken(f *audits.Finding) func(table string) string {
	return func(table string) string {
		return fmt.Sprintf("%s/%d/%d/repair/%d/%s", p.topic, p.c.Epoch, p.id, int64(f.FirstSeenAt), table)
	}
}

// unprovableBefore is the end of the hours that ranges may have counted into
// whose rows are missing for good, or that earlier epochs may have counted into,
// whose topics are gone: raw events of these prove nothing.
func (p *partition) unprovableBefore(ctx context.Context) (schemas.Millis, error) {
	const query = `SELECT max(hour), count(), 0 FROM audits FINAL WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16}
			AND state = 'unprovable' AND what IN ('events', 'ingest_batches') AND workspace_id = ''
		UNION ALL SELECT toDateTime(max(last_time), 'UTC'), count(), 1 FROM ingest_batches WHERE topic = {topic:String} AND epoch < {epoch:UInt32}`
	before := schemas.NoInstant
	err := p.read(ctx, query, nil, func(rows driver.Rows) error {
		var at time.Time
		var n uint64
		var earlier uint8
		if err := rows.Scan(&at, &n, &earlier); err != nil || n == 0 {
			return err
		}
		end := schemas.MillisOf(at)
		if earlier == 1 {
			end = audits.CountedBefore(end)
		}
		before = max(before, end)
		return nil
	})
	return before, err
}

// countRepair raises the revision of the partition's workspaces by one.
func (p *partition) countRepair(ctx context.Context) error {
	var count uint64
	const query = `SELECT max(next_offset) FROM ingest_progress WHERE topic = {repairs:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16}`
	if err := p.read(ctx, query, clickhouse.Parameters{"repairs": rollup.RepairsTopic}, func(rows driver.Rows) error { return rows.Scan(&count) }); err != nil {
		return err
	}
	_, err := p.insert(ctx, "ingest_progress", fmt.Sprintf("%s/%d/%d/%d", rollup.RepairsTopic, p.c.Epoch, p.id, count+1), progressInput(rollup.RepairsTopic, p.c.Epoch, uint16(p.id), count+1))
	return err
}
