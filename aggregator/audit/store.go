package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
	"github.com/drawdown/drawdown/schemas/rollup"
)

const (
	// queryTimeout bounds one statement: an hour of 50,000 events a second takes
	// half a minute on one core.
	queryTimeout = 3 * time.Minute
	writeTimeout = time.Minute
)

// querySettings leave a core to the dashboards. What has more groups than fit
// into half of the memory goes by way of the disk.
var querySettings = clickhouse.Settings{
	"max_threads":                        1,
	"max_memory_usage":                   2 << 30,
	"max_bytes_before_external_group_by": 1 << 30,
}

// asks begins every statement, so that the server's log of queries tells the
// audit from what people wait for.
const asks = "-- audit\n"

// query runs a statement with bound parameters and calls scan for each row;
// name is for errors.
func (a *Auditor) query(ctx context.Context, name, statement string, bound rollup.Parameters, scan func(scan func(...any) error) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot read %s: %w", name, err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters(bound)), clickhouse.WithSettings(querySettings))
	return schemas.EachRow(ctx, a.cfg.ClickHouse, asks+statement, scan)
}

// bound are parameters with the epoch.
func (a *Auditor) bound() rollup.Parameters {
	bound := rollup.Parameters{}
	bound.Integer("epoch", int64(a.cfg.Epoch))
	return bound
}

func (a *Auditor) readProgress(ctx context.Context) (rollup.Progresses, error) {
	known := make(rollup.Progresses)
	err := a.query(ctx, "progress", rollup.ProgressQuery, rollup.ProgressParameters(a.cfg.Topics, a.cfg.Epoch), func(scan func(...any) error) error {
		return known.Scan(a.cfg.Topics, scan)
	})
	return known, err
}

// Rows of audit_progress that are not of a topic.
const (
	placeSealed = iota
	placeSweep
	placeProvable
	placeCycles
)

// places say how far the audit is.
type places struct {
	ranges       map[partition]int64     // next offset to audit
	sealed       schemas.Millis          // hours before were audited once; NoInstant: none yet
	sweep        schemas.Millis          // days are swept back from there
	provableFrom schemas.Millis          // hours before cannot be proven; NoInstant: not known yet
	dirty        map[schemas.Millis]bool // hours before sealed, to be audited again
	earlier      schemas.Millis          // end of the hours that earlier epochs may have counted into; NoInstant: there were none
}

// sealedThrough is the end of the last hour before which none is open or dirty.
func (p *places) sealedThrough() schemas.Millis {
	through := p.sealed
	for hour := range p.dirty {
		through = min(through, hour)
	}
	return through
}

// begin reads where the last auditor was.
func (c *cycles) begin(ctx context.Context) error {
	c.place = places{ranges: make(map[partition]int64), dirty: make(map[schemas.Millis]bool), sealed: schemas.NoInstant, sweep: schemas.NoInstant, provableFrom: schemas.NoInstant, earlier: schemas.NoInstant}
	c.proofs, c.left, c.later = make(map[partition]*proof), make(map[partition]int64), make(map[schemas.Millis]bool)
	err := c.a.query(ctx, "how far the audit is", "SELECT topic, kpart, next FROM audit_progress FINAL WHERE epoch = {epoch:UInt32}", c.a.bound(), func(scan func(...any) error) error {
		var (
			topic string
			kpart uint16
			next  int64
		)
		if err := scan(&topic, &kpart, &next); err != nil {
			return err
		}
		switch {
		case topic != "":
			c.place.ranges[partition{topic, int(kpart)}] = next
		case kpart == placeSealed:
			c.place.sealed = schemas.Millis(next) * 1000
		case kpart == placeSweep:
			c.place.sweep = schemas.Millis(next) * 1000
		case kpart == placeCycles:
			c.cycled = next
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.readDirty(ctx); err != nil {
		return err
	}
	if err := c.readEarlier(ctx); err != nil {
		return err
	}
	c.open, err = c.readOpen(ctx)
	return err
}

// readDirty reads which hours are dirty: those who repair say so as well.
func (c *cycles) readDirty(ctx context.Context) error {
	return c.a.query(ctx, "dirty hours", "SELECT hour FROM audit_hours FINAL WHERE epoch = {epoch:UInt32} AND dirty = 1", c.a.bound(), func(scan func(...any) error) error {
		var hour time.Time
		err := scan(&hour)
		c.place.dirty[schemas.MillisOf(hour)] = true
		return err
	})
}

// readEarlier reads until when earlier epochs counted: their topics are gone, so
// what raw events lack of them cannot be read again.
func (c *cycles) readEarlier(ctx context.Context) error {
	bound := c.a.bound()
	bound.String("topic", c.a.cfg.Topics.Consumption)
	return c.a.query(ctx, "the ledger of earlier epochs", "SELECT toUnixTimestamp64Milli(max(last_time)), count() FROM ingest_batches WHERE topic = {topic:String} AND epoch < {epoch:UInt32}", bound, func(scan func(...any) error) error {
		var at int64
		var n uint64
		err := scan(&at, &n)
		if n > 0 {
			c.place.earlier = audits.CountedBefore(schemas.Millis(at))
		}
		return err
	})
}

// readOpen reads findings that are not settled, and what is unprovable. Two
// auditors may have seen the same: the finding that is further stands for both,
// and another one that is only seen is settled, because nobody will confirm it.
func (c *cycles) readOpen(ctx context.Context) (map[audits.Place]*audits.Finding, error) {
	open := make(map[audits.Place]*audits.Finding)
	var again []audits.Finding
	err := c.a.query(ctx, "open findings", audits.Query+" AND state IN ('drift', 'unprovable') ORDER BY state = 'drift', step, if(state = 'drift', -1, 1) * toUnixTimestamp64Milli(first_seen_at)", c.a.bound(), func(scan func(...any) error) error {
		f := &audits.Finding{}
		err := f.Scan(scan)
		if other := open[f.Place]; other != nil && other.State == audits.Drift && other.Step == audits.Seen {
			again = append(again, *other)
		}
		open[f.Place] = f
		return err
	})
	for i := range again {
		again[i].State, again[i].Step, again[i].SettledAt, again[i].Note = audits.Fine, audits.Settled, c.a.now(), "another auditor has seen it as well"
	}
	if err == nil {
		err = c.a.write(ctx, again...)
	}
	return open, err
}

// exec runs a small INSERT. Once ctx has ended the next auditor does it, but one
// under way goes on.
func (a *Auditor) exec(ctx context.Context, name, statement string, args ...any) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0}))
	if err := a.cfg.ClickHouse.Exec(ctx, statement, args...); err != nil {
		return fmt.Errorf("cannot record %s: %w", name, err)
	}
	return nil
}

func (a *Auditor) writeProgress(ctx context.Context, topic string, kpart int, next int64) error {
	return a.exec(ctx, "how far the audit is", "INSERT INTO audit_progress (epoch, topic, kpart, next, at) VALUES (?, ?, ?, ?, ?)",
		a.cfg.Epoch, topic, uint16(kpart), next, a.cfg.Now().UTC())
}

// write records findings.
func (a *Auditor) write(ctx context.Context, findings ...audits.Finding) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	return audits.Write(ctx, a.cfg.ClickHouse, findings...)
}

// markHours says of hours whether they were dirty at an instant.
func (a *Auditor) markHours(ctx context.Context, hours []schemas.Millis, dirty bool, at time.Time) error {
	if len(hours) == 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	return audits.MarkHours(ctx, a.cfg.ClickHouse, a.cfg.Epoch, hours, dirty, at)
}
