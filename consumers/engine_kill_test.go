package consumers

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/internal/storetest"
)

// A single ClickHouse writes the record of a token before it renames the part
// into place: SIGKILL between the two loses the rows, and the retry is skipped
// as a duplicate. These tests kill the engine there, part by part.

// killedAt are the tables in the order in which one batch reaches them.
var killedAt = []string{"events", "campaign_activity", "usage_1m", "usage_15m", "usage_15m_total", "usage_1d", "rejections", "ingest_batches"}

func TestConsumerMendsWhatAKilledClickHouseLost(t *testing.T) {
	t.Parallel()
	storetest.RequireStrace(t)
	// The consumer lives on and tries again, or dies with the engine and a
	// new owner recovers.
	for _, owner := range []string{"SameOwner", "NewOwner"} {
		t.Run(owner, func(t *testing.T) {
			t.Parallel()
			engine := storetest.NewEngine(t, storetest.EngineOptions{})
			for _, table := range killedAt {
				t.Run(table, func(t *testing.T) { mendAfterKill(t, engine, table, owner == "NewOwner") })
			}
		})
	}
}

func mendAfterKill(t *testing.T, engine *storetest.Engine, table string, consumerDies bool) {
	if engine.PID() == 0 {
		engine.Restart() // the case before has failed
	}
	r := newRig(t, engine.Database(t))
	r.retryMost = 200 * time.Millisecond
	broken := r.broken(8)
	for i := range broken {
		broken[i].partition = 0
	}
	r.consume(append(r.onesIn(0, 300, "id"), broken...)...)
	wait := r.killOnRename(engine, table)
	var c *consumer
	if consumerDies {
		r.crash(withClickHouse)
	} else {
		c = r.start()
	}
	wait()
	engine.Restart()
	if consumerDies {
		c = r.start()
	}
	r.requireExact()
	if lost := c.counter(t, "drawdown_consumers_repaired_rows_total"); table[0] == 'e' || table[0] == 'u' {
		t.Logf("%v rows or keys were mended", lost)
		if lost == 0 {
			t.Errorf("nothing was mended: the kill lost nothing, so this test shows nothing")
		}
	}
	r.consume(r.onesIn(0, 50, "more")...)
	r.requireExact()
	c.mustStop(t)
}

// killOnRename has strace kill the engine when it renames the first part of a
// table into place, before the kernel does. wait returns when it is dead.
func (r *rig) killOnRename(engine *storetest.Engine, table string) (wait func()) {
	r.t.Helper()
	paths := collect(r, `SELECT arrayElement(data_paths, 1) FROM system.tables WHERE database = currentDatabase() AND name = '`+table+`'`, scalar[string])
	var parts []string
	for _, part := range []string{"all_1_1_0", "all_1_1_1", time.Now().UTC().Format("200601") + "_1_1_0", time.Now().UTC().Format("200601") + "_1_1_1"} {
		parts = append(parts, paths[0]+"tmp_insert_"+part+"/")
	}
	pid := engine.PID()
	engine.KillAtRename(r.t, 1, parts...)
	return func() {
		r.t.Helper()
		r.wait("the engine is killed at the rename", func() bool { return engine.PID() != pid })
	}
}

// TestConsumerKeepsTotalsWhileClickHouseIsKilled kills the engine again and
// again, whenever some more batches are done.
func TestConsumerKeepsTotalsWhileClickHouseIsKilled(t *testing.T) {
	t.Parallel()
	engine := ownEngine(t)
	r := newRig(t, engine.Database(t))
	r.retryMost = 500 * time.Millisecond
	c := r.start(func(c *Config) { c.FetchBytes = 64 << 10 })
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for round := range 6 {
		seed := uint64(round)
		r.consume(r.traffic(seed, 3000, 0.05)...)
		r.consume(r.broken(4)...)
		done := c.counter(t, "drawdown_consumers_batches_total") + float64(1+rng.IntN(6))
		r.wait("some more batches are done", func() bool { return c.counter(t, "drawdown_consumers_batches_total") >= done || r.allDone() })
		engine.Kill()
	}
	r.requireExact()
}

// allDone reports whether the ledger reaches the end of every log of the
// consumption topic.
func (r *rig) allDone() bool {
	for p := range r.parts {
		if _, end := r.logRange(r.broker.Topics.Consumption, p); r.done(r.broker.Topics.Consumption, p) < end {
			return false
		}
	}
	return true
}

// TestConsumerNeedsNoTokenToRecover: intents that are older than the
// deduplication window, at each step at which something may stand already.
func TestConsumerNeedsNoTokenToRecover(t *testing.T) {
	t.Parallel()
	engine := ownEngine(t)
	for _, step := range []string{"BeforeTheInsertIsAnswered", "BetweenRowsAndRejections", "BetweenInsertAndLedger", "BeforeTheLedgerIsAnswered", "BetweenLedgerAndDone"} {
		t.Run(step, func(t *testing.T) {
			db := engine.Database(t)
			t.Parallel()
			r := newRig(t, db)
			r.consume(r.traffic(1, 500, 0.1)...)
			r.consume(r.broken(8)...)
			r.crash(step)
			r.wait("no INSERT is under way", func() bool {
				return r.number(`SELECT count() FROM system.processes WHERE query LIKE 'INSERT%' AND current_database = currentDatabase()`) == 0
			})
			r.forgetTokens()
			r.start()
			r.requireExact()
		})
	}
}

// forgetTokens pushes every token so far out of the deduplication windows.
func (r *rig) forgetTokens() {
	r.t.Helper()
	for table, columns := range map[string]string{
		"events":          "workspace_id, kpart, epoch, repair, time) SELECT 'forget', 0, 0, 1, now64()",
		"rejections":      "topic) SELECT 'forget'",
		"ingest_batches":  "topic) SELECT 'forget'",
		"usage_1m":        "workspace_id, bucket) SELECT 'forget', now()",
		"usage_15m":       "workspace_id, bucket) SELECT 'forget', now()",
		"usage_15m_total": "workspace_id, bucket) SELECT 'forget', now()",
		"usage_1d":        "workspace_id, bucket) SELECT 'forget', now()",
	} {
		r.exec(`ALTER TABLE ` + table + ` MODIFY SETTING non_replicated_deduplication_window = 1`)
		for i := range 3 {
			r.exec(fmt.Sprintf("INSERT INTO %s (%s SETTINGS insert_deduplication_token = 'forget-%d', insert_deduplicate = 1, async_insert = 0", table, columns, i))
		}
		r.exec(`ALTER TABLE ` + table + ` MODIFY SETTING non_replicated_deduplication_window = 50000`)
		if key := strings.SplitN(columns, ",", 2)[0]; strings.HasPrefix(table, "usage") {
			continue // sums of nothing
		} else {
			r.exec(`DELETE FROM ` + table + ` WHERE ` + strings.SplitN(key, ")", 2)[0] + ` = 'forget'`)
		}
	}
}

// TestEachBatchIsOnePartOfEachRollup: with more groups than the engine would
// aggregate in one block by itself (invariant 1).
func TestEachBatchIsOnePartOfEachRollup(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	tables := []string{"usage_1m", "usage_15m", "usage_15m_total", "usage_1d"}
	const rows = 150_000
	ws, day := r.workspaceIn(2), time.Now().UTC().Truncate(24*time.Hour).Add(-24*time.Hour)
	all := make([]sent, rows)
	for i := range all {
		// 1,440 minutes x 100 campaigns: 144,000 groups.
		minute, campaign := i%1440, i/1440
		all[i] = r.consumed(ws, fmt.Sprint(i), fmt.Sprintf("cmp_%d", campaign), "a", 1, day.Add(time.Duration(minute)*time.Minute))
	}
	r.consume(all...)
	for _, table := range tables {
		r.exec(`SYSTEM STOP MERGES ` + table)
	}
	r.start(func(c *Config) {
		c.Linger, c.BatchBytes, c.FetchBytes = 20*time.Second, 4<<30, 64<<20
	})
	r.requireExact()
	if n := r.number(`SELECT max(inserted) FROM ingest_batches`); n != rows {
		t.Fatalf("the largest batch has %d rows, want all %d in one", n, rows)
	}
	if groups := r.number(`SELECT count() FROM usage_1m`); groups < 100_001 {
		t.Errorf("%d groups, want more than 100,000", groups)
	}
	batches := r.number(`SELECT count() FROM ingest_batches WHERE inserted > 0`)
	for _, table := range tables {
		parts := collect(r, `SELECT name, rows FROM system.parts WHERE database = currentDatabase() AND active AND table = '`+table+`'`, func(rows driver.Rows) (s string, err error) {
			var n uint64
			err = rows.Scan(&s, &n)
			return fmt.Sprintf("%s of %d rows", s, n), err
		})
		if uint64(len(parts)) != batches {
			t.Errorf("%d batches made %d parts of %s: %v", batches, len(parts), table, parts)
		}
	}
}
