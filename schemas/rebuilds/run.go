package rebuilds

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// Options say what is made anew.
type Options struct {
	Conn      driver.Conn // of one node, not of a cluster
	Rollup    string      // one of rollup.Levels
	EventsTTL schemas.EventsTTL
	Now       func() time.Time
	// Progress is told what is being done, each time that it changes.
	Progress func(text string)
	// PollEvery is how often the consumers are looked at; 0: every half second.
	PollEvery time.Duration
}

// leavesWithin is how long the consumers are waited for to go on after the
// exchange: they look every five seconds.
const leavesWithin = time.Minute

// staleAfter is how long a rebuild may be stopped: raw events that it counts on
// may have aged out after twice that.
const staleAfter = 30 * 24 * time.Hour

// run is one run of the command.
type run struct {
	Options
	level rollup.Level
	said  string
	id    string
}

func newRun(o Options) (*run, error) {
	at := slices.IndexFunc(rollup.Levels, func(l rollup.Level) bool { return l.Table == o.Rollup })
	if at < 0 {
		return nil, fmt.Errorf("there is no rollup %q", o.Rollup)
	}
	if o.PollEvery == 0 {
		o.PollEvery = 500 * time.Millisecond
	}
	return &run{Options: o, level: rollup.Levels[at], id: uuid.NewString()}, nil
}

// Run makes a rollup anew, or goes on with a rebuild of it that was stopped. It
// needs consumers that own all partitions, and waits for them.
func Run(ctx context.Context, o Options) error {
	c, err := newRun(o)
	if err != nil {
		return err
	}
	r, err := c.take(ctx)
	if err != nil {
		return err
	}
	done, err := c.exchanged(ctx, r)
	if err != nil {
		return err
	}
	if !done {
		if err := c.build(ctx, r); err != nil {
			return err
		}
	}
	return c.finish(ctx, r)
}

// GiveUp ends a rebuild that was stopped and leaves the old table in place; one
// whose tables are exchanged already is finished.
func GiveUp(ctx context.Context, o Options) error {
	c, err := newRun(o)
	if err != nil {
		return err
	}
	r, found, err := c.open(ctx)
	if err != nil {
		return err
	}
	if !found || r.Rollup != c.Rollup {
		return fmt.Errorf("no rebuild of %s is under way", c.Rollup)
	}
	if err := c.quiet(ctx, r); err != nil {
		return err
	}
	done, err := c.exchanged(ctx, r)
	if err != nil {
		return err
	}
	if done {
		return c.finish(ctx, r)
	}
	// From here on no run goes on with it.
	if err := c.say(ctx, r, GivenUp); err != nil {
		return err
	}
	if err := c.sweep(ctx); err != nil {
		return err
	}
	return c.requireInPlace(ctx, r, false)
}

// open returns the rebuild that is not over.
func (c *run) open(ctx context.Context) (r Rebuild, found bool, err error) {
	const query = `SELECT number, toString(rollup), step, run, copied_before, at FROM rebuilds FINAL WHERE step < 2 ORDER BY number LIMIT 1`
	err = schemas.EachRow(ctx, c.Conn, query, func(scan func(...any) error) error {
		var before, at time.Time
		err := scan(&r.Number, &r.Rollup, &r.Step, &r.Run, &before, &at)
		r.CopiedBefore, r.BegunAt, found = schemas.MillisOf(before), schemas.MillisOf(at), true
		return err
	})
	if err != nil {
		return r, false, fmt.Errorf("cannot read which rollups are made anew: %w", err)
	}
	return r, found, nil
}

// take returns the rebuild that is under way, or one that it begins.
func (c *run) take(ctx context.Context) (Rebuild, error) {
	if err := c.sweep(ctx); err != nil {
		return Rebuild{}, err
	}
	for tries := uint32(0); ; tries++ {
		r, found, err := c.open(ctx)
		switch {
		case err != nil:
			return r, err
		case found && r.Rollup != c.Rollup:
			return r, fmt.Errorf("a rebuild of %s was begun and is not over: finish it with --rebuild %s, or end it with --rebuild %s --give-up", r.Rollup, r.Rollup, r.Rollup)
		case found && c.Now().Sub(r.BegunAt.Time()) > staleAfter:
			return r, fmt.Errorf("the rebuild of %s was begun on %s, and what it counts on may have aged out since: end it with --rebuild %s --give-up and begin anew", r.Rollup, r.BegunAt.Time().Format(time.DateOnly), r.Rollup)
		case found:
			if r.Run != c.id {
				c.progress(fmt.Sprintf("goes on with rebuild %d", r.Number))
			}
			return r, nil
		}
		if tries > 0 {
			// The token of that number was burnt by a server that was killed, or
			// another run is about to have it.
			if err := c.pause(ctx); err != nil {
				return r, err
			}
		}
		var last uint32
		if err := c.Conn.QueryRow(ctx, "SELECT max(number) FROM rebuilds").Scan(&last); err != nil {
			return r, fmt.Errorf("cannot number the rebuild: %w", err)
		}
		r = Rebuild{Number: last + 1 + tries, Rollup: c.Rollup, Run: c.id, CopiedBefore: c.copiedBefore()}
		// Of two runs that take the same number one stands; both go on with it.
		if err := c.sayAs(ctx, r, Begun, fmt.Sprintf("rebuilds/%d", r.Number)); err != nil {
			return r, err
		}
	}
}

// copiedBefore is the start of the first hour of which no raw event may have
// aged out, for a rollup that is made of them.
func (c *run) copiedBefore() schemas.Millis {
	const hour schemas.Millis = 3_600_000
	edge, ok := c.EventsTTL.RawFrom(c.Now())
	if !ok || !c.level.Raw() {
		return 0
	}
	return (edge + hour - 1) / hour * hour
}

// say records the step of a rebuild. To say it again does no harm.
func (c *run) say(ctx context.Context, r Rebuild, step uint8) error {
	return c.sayAs(ctx, r, step, "rebuilds/"+uuid.NewString())
}

func (c *run) sayAs(ctx context.Context, r Rebuild, step uint8, token string) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(schemas.InsertOnce(token)))
	err := c.Conn.Exec(ctx, "INSERT INTO rebuilds (number, rollup, step, run, copied_before, at) VALUES (?, ?, ?, ?, ?, fromUnixTimestamp64Milli(?))",
		r.Number, r.Rollup, step, r.Run, r.CopiedBefore.Time(), c.Now().UnixMilli())
	if err != nil {
		return fmt.Errorf("cannot record rebuild %d of %s: %w", r.Number, r.Rollup, err)
	}
	return nil
}

// requireOpen fails when another run has ended the rebuild.
func (c *run) requireOpen(ctx context.Context, r Rebuild) error {
	var step uint8
	if err := c.Conn.QueryRow(ctx, "SELECT max(step) FROM rebuilds WHERE number = ?", r.Number).Scan(&step); err != nil {
		return fmt.Errorf("cannot read how far the rebuild is: %w", err)
	}
	if step >= Exchanged {
		return fmt.Errorf("another run has ended rebuild %d of %s", r.Number, r.Rollup)
	}
	return nil
}

func (c *run) exec(ctx context.Context, statement string) error {
	if err := c.Conn.Exec(ctx, statement); err != nil {
		what, _, _ := strings.Cut(statement, " AS\n")
		return fmt.Errorf("cannot run %q: %w", what, err)
	}
	return nil
}

func (c *run) progress(text string) {
	if text != c.said && c.Progress != nil {
		c.Progress(text)
	}
	c.said = text
}

// exchanged says whether the new table has the name of the rollup.
func (c *run) exchanged(ctx context.Context, r Rebuild) (bool, error) {
	var comment string
	if err := c.Conn.QueryRow(ctx, "SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = ?", r.Rollup).Scan(&comment); err != nil {
		return false, fmt.Errorf("cannot look at table %s: %w", r.Rollup, err)
	}
	return comment == r.comment(), nil
}

// requireFed fails where the new table, or the view that feeds it, is gone.
func (c *run) requireFed(ctx context.Context, r Rebuild) error {
	var n uint64
	if err := c.Conn.QueryRow(ctx, "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name IN (?, ?)", r.Table(), r.view()).Scan(&n); err != nil {
		return fmt.Errorf("cannot look for table %s: %w", r.Table(), err)
	}
	if n != 2 {
		return fmt.Errorf("table %s or its view is gone: end the rebuild with --rebuild %s --give-up and begin anew", r.Table(), r.Rollup)
	}
	return nil
}

// build makes the new table, has it filled and exchanges it with the old one.
func (c *run) build(ctx context.Context, r Rebuild) error {
	if r.Step == Begun {
		if err := c.prepare(ctx, r); err != nil {
			return err
		}
	}
	if err := c.filled(ctx, r); err != nil {
		return err
	}
	return c.exchange(ctx, r)
}

// prepare makes the new table and the view that feeds it.
func (c *run) prepare(ctx context.Context, r Rebuild) error {
	tables, err := schemas.ExpectedTables("")
	if err != nil {
		return err
	}
	at := slices.IndexFunc(tables, func(t schemas.ExpectedTable) bool { return t.Into == r.Rollup })
	if at < 0 {
		return fmt.Errorf("no view is known that writes to %s", r.Rollup)
	}
	for _, statement := range []string{
		"CREATE TABLE IF NOT EXISTS " + r.Table() + " AS " + r.Rollup,
		"ALTER TABLE " + r.Table() + " MODIFY COMMENT '" + r.comment() + "'",
		"CREATE MATERIALIZED VIEW IF NOT EXISTS " + r.view() + " TO " + r.Table() + " AS\n" + tables[at].Query,
	} {
		if err := c.exec(ctx, statement); err != nil {
			return err
		}
	}
	if err := c.say(ctx, r, Building); err != nil {
		return err
	}
	// One that fell behind has made them of a rebuild that is over.
	if err := c.requireOpen(ctx, r); err != nil {
		return errors.Join(err, c.sweep(ctx))
	}
	return nil
}

// quiet waits until no run exchanges tables or lists pieces.
func (c *run) quiet(ctx context.Context, r Rebuild) error {
	for {
		var running uint64
		if err := c.Conn.QueryRow(ctx, "SELECT count() FROM system.processes WHERE startsWith(query_id, ?)", r.queryID("")).Scan(&running); err != nil {
			return fmt.Errorf("cannot look what other runs do: %w", err)
		}
		if running == 0 {
			return nil
		}
		if err := c.pause(ctx); err != nil {
			return err
		}
	}
}

// exchange gives the new table the name of the rollup.
func (c *run) exchange(ctx context.Context, r Rebuild) error {
	// Another run's would change them back.
	if err := c.quiet(ctx, r); err != nil {
		return err
	}
	if done, err := c.exchanged(ctx, r); err != nil || done {
		return err
	}
	if err := c.requireOpen(ctx, r); err != nil {
		return err
	}
	if err := c.requireFed(ctx, r); err != nil {
		return err
	}
	return c.exec(clickhouse.Context(ctx, clickhouse.WithQueryID(r.queryID(uuid.NewString()))), "EXCHANGE TABLES "+r.Rollup+" AND "+r.Table())
}

// finish removes the old table. Before that it loses its name, so that nobody
// can exchange it any more.
func (c *run) finish(ctx context.Context, r Rebuild) error {
	if err := c.quiet(ctx, r); err != nil {
		return err
	}
	if err := c.retire(ctx, r); err != nil {
		return err
	}
	if err := c.requireInPlace(ctx, r, true); err != nil {
		return errors.Join(err, c.say(ctx, r, GivenUp), c.sweep(ctx))
	}
	if err := c.waitUntilLeft(ctx, r); err != nil {
		return err
	}
	if err := c.say(ctx, r, Exchanged); err != nil {
		return err
	}
	return c.sweep(ctx)
}

// retire takes away the view of a rebuild, and the name of the table that is not
// in use.
func (c *run) retire(ctx context.Context, r Rebuild) error {
	names, err := c.names(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(names, r.view()) {
		if err := c.exec(ctx, "DROP VIEW IF EXISTS "+r.view()+" SYNC"); err != nil {
			return err
		}
	}
	if !slices.Contains(names, r.Table()) {
		return nil
	}
	if slices.Contains(names, r.replaced()) {
		if err := c.exec(ctx, "DROP TABLE IF EXISTS "+r.replaced()+" SYNC"); err != nil {
			return err
		}
	}
	return c.exec(ctx, "RENAME TABLE "+r.Table()+" TO "+r.replaced())
}

// names are those of all tables and views.
func (c *run) names(ctx context.Context) (names []string, err error) {
	if err := c.Conn.QueryRow(ctx, "SELECT groupArray(name) FROM system.tables WHERE database = currentDatabase()").Scan(&names); err != nil {
		return nil, fmt.Errorf("cannot list the tables: %w", err)
	}
	return names, nil
}

// sweep removes what rebuilds that are over have left behind.
func (c *run) sweep(ctx context.Context) error {
	var over []Rebuild
	err := schemas.EachRow(ctx, c.Conn, "SELECT number, toString(rollup) FROM rebuilds FINAL WHERE step >= 2 ORDER BY number", func(scan func(...any) error) error {
		var r Rebuild
		err := scan(&r.Number, &r.Rollup)
		over = append(over, r)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot read which rebuilds are over: %w", err)
	}
	names, err := c.names(ctx)
	if err != nil {
		return err
	}
	for _, r := range over {
		if !slices.ContainsFunc([]string{r.view(), r.Table(), r.replaced()}, func(name string) bool { return slices.Contains(names, name) }) {
			continue
		}
		if err := c.retire(ctx, r); err != nil {
			return err
		}
		if err := c.exec(ctx, "DROP TABLE IF EXISTS "+r.replaced()+" SYNC"); err != nil {
			return err
		}
	}
	return nil
}

// requireInPlace fails unless the right one of both tables has the name of the
// rollup now that the other one has lost its own.
func (c *run) requireInPlace(ctx context.Context, r Rebuild, fresh bool) error {
	is, err := c.exchanged(ctx, r)
	if err == nil && is != fresh {
		err = fmt.Errorf("another run has exchanged the tables of %s at the same time, and the one in place may lack what was counted just now: make it anew once more, with one run at a time", r.Rollup)
	}
	return err
}

// waitUntilLeft waits for the owners to raise the revision of their partitions.
// One that is away does so when it is back.
func (c *run) waitUntilLeft(ctx context.Context, r Rebuild) error {
	for began := time.Now(); time.Since(began) < leavesWithin; {
		known, err := c.partitions(ctx, r)
		if err != nil {
			return err
		}
		var waiting []int
		for id, step := range known.steps {
			if step != Left {
				waiting = append(waiting, id)
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		c.progress("waits for the consumers of partitions " + list(waiting) + " to go on")
		if err := c.pause(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *run) pause(ctx context.Context) error {
	select {
	case <-time.After(c.PollEvery):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// list names partitions.
func list(ids []int) string {
	slices.Sort(ids)
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ", "), "[]")
}
