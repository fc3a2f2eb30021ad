package consumers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas/rebuilds"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// These tests keep the engine busy and some depend on when it does what: they do
// not run beside others.

// rebuildOptions are those of a run in a hurry.
func (r *rig) rebuildOptions(table string) rebuilds.Options {
	return rebuilds.Options{
		Conn: r.db, Rollup: table, Now: time.Now, PollEvery: 20 * time.Millisecond,
		Progress: func(text string) { r.t.Logf("%s: %s", table, text) },
	}
}

// rebuildAnew makes a rollup anew.
func (r *rig) rebuildAnew(table string) {
	r.t.Helper()
	if err := rebuilds.Run(context.Background(), r.rebuildOptions(table)); err != nil {
		r.t.Fatalf("cannot make %s anew: %v", table, err)
	}
}

// damage makes every rollup wrong in hours of which nothing is counted any more:
// those that follow usage_1m by its views as well.
func (r *rig) damage() {
	r.t.Helper()
	r.exec(`INSERT INTO usage_1m SELECT workspace_id, toStartOfMinute(toDateTime(time, 'UTC')), campaign_id, action, 17, 0, 1 FROM events WHERE time < now() - INTERVAL 30 DAY LIMIT 500`)
	r.exec(`INSERT INTO usage_15m_total SELECT * FROM usage_15m_total WHERE bucket < now() - INTERVAL 30 DAY LIMIT 20`)
	r.exec(`INSERT INTO usage_1d SELECT * FROM usage_1d WHERE bucket < now() - INTERVAL 30 DAY LIMIT 20`)
}

// old is traffic of forty days ago.
func (r *rig) old(seed uint64, n int) []sent {
	out := make([]sent, n)
	for i := range out {
		at := time.Now().Add(-40*24*time.Hour + time.Duration(i)*97*time.Second)
		out[i] = r.consumed(fmt.Sprintf("ws_%d", i%20), fmt.Sprintf("old-%d-%d", seed, i), fmt.Sprintf("cmp_%d", i%7), "action_1", 3_000_001, at)
	}
	return out
}

// flow produces events until stop.
func (r *rig) flow() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for seed := uint64(1000); ; seed++ {
			select {
			case <-done:
				return
			case <-time.After(200 * time.Millisecond):
				r.consume(r.traffic(seed, 20, 0.05)...)
			}
		}
	}()
	stop = sync.OnceFunc(func() { close(done); wg.Wait() })
	r.t.Cleanup(stop)
	return stop
}

// requireNothingLeft requires that rebuilds leave no table and no view behind.
func (r *rig) requireNothingLeft() {
	r.t.Helper()
	for _, name := range collect(r, `SELECT name FROM system.tables WHERE database = currentDatabase() AND (name LIKE '%\_rebuild\_%' OR name LIKE '%\_replaced\_%')`, scalar[string]) {
		r.t.Errorf("%s is left behind", name)
	}
}

func (r *rig) wrong() bool {
	return r.number(`SELECT toUInt64(abs(toInt64((SELECT sum(events) FROM usage_1m)) - toInt64((SELECT count() FROM events))))`) > 0
}

// TestRollupsAreMadeAnewWhileEventsFlow makes every rollup anew while events flow
// into all partitions.
func TestRollupsAreMadeAnewWhileEventsFlow(t *testing.T) {
	r := newRig(t, storetest.ClickHouse(t))
	r.limits.Lateness = 60 * 24 * time.Hour
	c := r.start(inAHurry)
	r.consume(r.old(1, 3000)...)
	r.waitDone()
	stop := r.flow()
	r.damage()
	if !r.wrong() {
		t.Fatal("nothing is damaged")
	}
	for _, l := range rollup.Levels {
		r.rebuildAnew(l.Table)
	}
	stop()
	r.requireExact()
	r.requireNothingLeft()
	// Answers that rest on the old tables must not be given any more.
	want := uint64(len(rollup.Levels) * r.parts)
	if n := r.number(`SELECT sum(n) FROM (SELECT kpart, max(next_offset) AS n FROM ingest_progress WHERE topic = ? GROUP BY kpart)`, rollup.RepairsTopic); n != want {
		t.Errorf("the revisions were raised %d times, want %d", n, want)
	}
	if n := c.counter(t, "drawdown_consumers_parked"); n != 0 {
		t.Errorf("%v partitions are parked", n)
	}
}

// slowly has every INSERT of events take so long, for each of its blocks.
func (r *rig) slowly(seconds ...string) {
	r.t.Helper()
	r.exec(`CREATE TABLE slow (at DateTime, s UInt8) ENGINE = Null`)
	r.exec(`CREATE MATERIALIZED VIEW a_slow_view TO slow AS SELECT toDateTime(time) AS at, sleep(` + strings.Join(seconds, ") + sleep(") + `) AS s FROM events`)
}

// TestExchangeInTheMiddleOfInsertsKeepsTotals has every INSERT take so long that
// the exchange comes in the middle of some.
func TestExchangeInTheMiddleOfInsertsKeepsTotals(t *testing.T) {
	for _, l := range rollup.Levels {
		t.Run(l.Table, func(t *testing.T) { // one by one: they are to be fast
			r := newRig(t, storetest.ClickHouse(t))
			r.start(inAHurry)
			r.slowly("0.3")
			stop := r.flow()
			r.wait("events flow", func() bool { return r.number(`SELECT count() FROM ingest_batches`) > 8 })
			r.rebuildAnew(l.Table)
			stop()
			r.requireExact()
		})
	}
}

// TestBatchThatAnExchangeMissesIsMended has a batch reach the old table alone,
// which loses its place while the batch is inserted.
func TestBatchThatAnExchangeMissesIsMended(t *testing.T) {
	if testing.Short() {
		t.Skip("INSERTs of two seconds")
	}
	for _, l := range rollup.Levels {
		t.Run(l.Table, func(t *testing.T) {
			r := newRig(t, storetest.ClickHouse(t))
			c := r.start(inAHurry)
			r.consume(r.traffic(1, 500, 0)...)
			r.waitDone()
			o := r.rebuildOptions(l.Table)
			o.Conn = &stoppedConn{Conn: r.db, before: "EXCHANGE", stop: func() {}}
			if err := rebuilds.Run(t.Context(), o); !errors.Is(err, errStopped) {
				t.Fatal(err)
			}
			r.slowly("2.9", "2.8", "2.7", "2.6") // one sleep is three seconds at most, equal ones are one
			r.exec("DETACH TABLE " + l.Table + "_rebuild_1_view")
			r.consume(r.onesIn(0, 10, "missed")...)
			r.wait("the batch is being inserted", func() bool {
				return r.number(`SELECT count() FROM system.processes WHERE startsWith(query_id, ?) AND elapsed > 1.5`, "drawdown/"+r.broker.Topics.Consumption+"/1/0/") > 0
			})
			r.exec("EXCHANGE TABLES " + l.Table + " AND " + l.Table + "_rebuild_1")
			r.exec("ATTACH TABLE " + l.Table + "_rebuild_1_view")
			r.waitDone()
			r.rebuildAnew(l.Table) // has only to finish
			r.requireExact()
			r.requireNothingLeft()
			if n := c.counter(t, "drawdown_consumers_repaired_rows_total"); n == 0 {
				t.Error("nothing was mended: this shows nothing")
			}
		})
	}
}

// stoppedConn ends its run after one of the statements, whose answer is lost: as
// if it was killed before the next one.
type stoppedConn struct {
	driver.Conn
	stop  func()
	at    int64
	count atomic.Int64

	before string // or before the statement that begins so
}

var errStopped = errors.New("the run was killed")

func (c *stoppedConn) Exec(ctx context.Context, query string, args ...any) error {
	if c.before != "" && strings.HasPrefix(query, c.before) {
		return errStopped
	}
	err := c.Conn.Exec(ctx, query, args...)
	if c.count.Add(1) == c.at {
		c.stop()
		return errStopped
	}
	return err
}

// TestRebuildGoesOnWhereItWasKilled ends the command after each of its
// statements, and a run that gives up after each of its own; the next run goes on.
func TestRebuildGoesOnWhereItWasKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("a dozen rebuilds")
	}
	r := newRig(t, storetest.ClickHouse(t))
	r.start(inAHurry)
	r.consume(r.traffic(1, 1000, 0)...)
	r.waitDone()
	stop := r.flow()
	const table = "usage_1d" // nothing is made from it
	stopped := func(do func(context.Context, rebuilds.Options) error, at int64) (err error) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		o := r.rebuildOptions(table)
		o.Conn = &stoppedConn{Conn: r.db, stop: cancel, at: at}
		err = do(ctx, o)
		if err != nil && !errors.Is(err, errStopped) && !errors.Is(err, context.Canceled) {
			t.Fatalf("killed after statement %d the run says %v", at, err)
		}
		return err
	}
	for at := int64(1); ; at++ {
		r.exec(`INSERT INTO usage_1d SELECT * FROM usage_1d LIMIT 5`)
		if stopped(rebuilds.Run, at) == nil {
			if t.Logf("a run has %d statements", at-1); at < 9 {
				t.Error("this shows too little")
			}
			break
		}
		r.rebuildAnew(table)
	}
	for at := int64(1); ; at++ {
		_ = stopped(rebuilds.Run, 4) // fed, and not filled
		err := stopped(rebuilds.GiveUp, at)
		r.exec(`INSERT INTO usage_1d SELECT * FROM usage_1d LIMIT 5`)
		r.rebuildAnew(table)
		if err == nil {
			break
		}
	}
	stop()
	r.requireExact()
	r.requireNothingLeft()
}

// TestRebuildSurvivesItsConsumers kills the consumer at steps of a batch while a
// rollup is made anew, at another one for each; the next owner goes on.
func TestRebuildSurvivesItsConsumers(t *testing.T) {
	t.Parallel()
	engine := ownEngine(t)
	for i, step := range []string{"InTheMiddleOfTheInsert", "BeforeTheInsertIsAnswered", "BetweenInsertAndLedger", "WhileTheIntentIsCommitted"} {
		table := rollup.Levels[i].Table
		t.Run(step+"/"+table, func(t *testing.T) {
			db := engine.Database(t) // before the first kill makes the engine abort
			t.Parallel()
			r := newRig(t, db)
			c := r.start(inAHurry)
			r.consume(r.traffic(1, 2000, 0.1)...)
			r.waitDone()
			// The owner knows of the rebuild, and has a piece of it to fill.
			ended := make(chan error, 1)
			knows := make(chan struct{})
			once := sync.OnceFunc(func() { close(knows) })
			o := r.rebuildOptions(table)
			o.Progress = func(text string) {
				t.Log(text)
				if text == "counts the rows of the source" {
					once()
				}
			}
			go func() { ended <- untilOver(o) }()
			select {
			case <-knows:
			case err := <-ended:
				t.Fatalf("the rebuild ended with %v", err)
			}
			c.mustStop(t)
			r.consume(r.traffic(2, 500, 0.1)...)
			r.consume(r.broken(20)...)
			r.crash(step)
			r.consume(r.traffic(3, 500, 0.1)...)
			r.start(inAHurry)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			r.requireExact()
			r.requireNothingLeft()
		})
	}
}

// untilOver runs again while the engine is away.
func untilOver(o rebuilds.Options) (err error) {
	for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(100 * time.Millisecond) {
		if err = rebuilds.Run(context.Background(), o); err == nil {
			return nil
		}
		o.Progress(err.Error())
	}
	return err
}
