package consumers

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/aggregator/audit" //nolint:depguard // what one stage finds the other repairs: the test runs both
	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
)

// audit runs an auditor in a hurry until stop, or the end of the test.
func (r *rig) audit() (stop func()) {
	r.t.Helper()
	a := audit.New(audit.Config{
		ClickHouse: r.db, Topics: r.broker.Topics, Partitions: r.parts, Epoch: r.epoch,
		Every: 100 * time.Millisecond, ConfirmAfter: 500 * time.Millisecond, SweepRest: 1, Now: time.Now, Log: slog.New(slog.NewTextHandler(testWriter{r.t}, nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.Run(ctx) }()
	stop = func() { cancel(); <-done }
	r.t.Cleanup(stop)
	return stop
}

func inAHurry(c *Config) { c.RepairEvery = 100 * time.Millisecond }

// stated are the states of a workspace and of a campaign of it.
func (r *rig) stated(ws string, i int) []sent {
	at := schemas.MillisOf(time.Now())
	return []sent{
		r.event(&schemas.Event{
			Type: schemas.CampaignUpdated, ID: fmt.Appendf(nil, "c%d", i), Time: at, WorkspaceID: []byte(ws), CampaignID: []byte("cmp_1"),
			Name: []byte("a campaign"), Status: []byte("ACTIVE"), StartsAt: schemas.NoInstant, EndsAt: schemas.NoInstant,
		}),
		r.event(&schemas.Event{Type: schemas.WorkspaceUpdated, ID: fmt.Appendf(nil, "w%d", i), Time: at, WorkspaceID: []byte(ws), Name: []byte("a workspace")}),
	}
}

// findings counts what the audit has recorded, by table and state.
func (r *rig) findings() map[string]int {
	found := make(map[string]int)
	type row struct {
		what, state string
		n           uint64
	}
	for _, x := range collect(r, `SELECT what, state, count() FROM audits FINAL GROUP BY what, state`, func(rows driver.Rows) (x row, err error) {
		err = rows.Scan(&x.what, &x.state, &x.n)
		return x, err
	}) {
		found[x.what+" "+x.state] = int(x.n)
	}
	return found
}

// waitMended waits until findings of each table were repaired and none is open.
func (r *rig) waitMended(tables ...string) {
	r.t.Helper()
	storetest.Wait(r.t, 4*time.Minute, fmt.Sprintf("what was planted in %v is mended", tables), func() (bool, error) {
		if r.number(`SELECT count() FROM audits FINAL WHERE state = 'drift'`) > 0 {
			return false, nil
		}
		found := r.findings()
		for _, table := range tables {
			if found[table+" repaired"] == 0 {
				return false, nil
			}
		}
		return true, nil
	})
}

// waitSwept waits until an auditor has swept all hours and all ranges.
func (r *rig) waitSwept() {
	r.t.Helper()
	cycles := func() uint64 {
		return r.number(`SELECT toUInt64(max(next)) FROM audit_progress WHERE topic = '' AND kpart = 3`)
	}
	begin := cycles()
	// A step a cycle: two days of hours, and three times for each partition.
	storetest.Wait(r.t, 3*waitAtMost, "everything is swept", func() (bool, error) { return cycles() > begin+uint64(9*r.parts)+4, nil })
}

// TestAuditMendsPlantedDriftOnce plants every kind of drift into hours that were
// audited already, while events flow: each is seen, mended, and stays mended.
func TestAuditMendsPlantedDriftOnce(t *testing.T) {
	t.Parallel()
	r := newRigOn(t, storetest.Kafka(t, storetest.KafkaOptions{}), storetest.ClickHouse(t))
	r.consume(r.traffic(1, 2000, 0.1)...)
	r.consume(r.broken(8)...)
	for i := range 20 {
		r.send(r.broker.Topics.Ledger, r.granted(fmt.Sprintf("ws_%d", i), fmt.Sprintf("grant-%d", i), fmt.Sprintf("g%d", i), nil))
		r.send(r.broker.Topics.Campaigns, r.stated(fmt.Sprintf("ws_%d", i), i)...)
	}
	r.start(inAHurry)
	r.requireExact()
	stop := r.audit()
	r.waitSwept()
	if found := r.findings(); len(found) > 0 {
		t.Fatalf("found %v where nothing is wrong", found)
	}
	// One workspace each, so that no drift hides another one.
	for _, plant := range []string{
		`INSERT INTO events SELECT * FROM events WHERE workspace_id = 'ws_0' AND time < now() - 7200 ORDER BY time DESC LIMIT 1`,
		`DELETE FROM events WHERE workspace_id = 'ws_1' AND event_id = (SELECT max(event_id) FROM events WHERE workspace_id = 'ws_1' AND time < now() - 7200)`,
		`INSERT INTO usage_1m SELECT * FROM usage_1m WHERE workspace_id = 'ws_2' AND bucket < now() - 7200 ORDER BY bucket DESC LIMIT 1`,
		`DELETE FROM usage_1m WHERE workspace_id = 'ws_3' AND bucket = (SELECT max(bucket) FROM usage_1m WHERE workspace_id = 'ws_3' AND bucket < now() - 7200)`,
		`INSERT INTO usage_1m SELECT workspace_id, bucket - toIntervalMinute(61), campaign_id, action, credits_micro, refunds_micro, events FROM usage_1m WHERE workspace_id = 'ws_4' AND bucket < now() - 7200 ORDER BY bucket DESC LIMIT 1`,
		`INSERT INTO usage_15m SELECT * FROM usage_15m WHERE workspace_id = 'ws_5' AND bucket < now() - 7200 ORDER BY bucket DESC LIMIT 1`,
		`DELETE FROM usage_15m WHERE workspace_id = 'ws_6' AND bucket = (SELECT max(bucket) FROM usage_15m WHERE workspace_id = 'ws_6' AND bucket < now() - 7200)`,
		`DELETE FROM usage_15m_total WHERE workspace_id = 'ws_7' AND bucket < now() - 7200`,
		`DELETE FROM usage_1d WHERE workspace_id = 'ws_8'`,
		`INSERT INTO usage_1d SELECT workspace_id, bucket - toIntervalDay(1), campaign_id, action, credits_micro, refunds_micro, events FROM usage_1d WHERE workspace_id = 'ws_9' ORDER BY bucket DESC LIMIT 1`,
		`INSERT INTO ingest_batches SELECT * FROM ingest_batches WHERE topic = 'credits.consumption' AND kpart = 0 ORDER BY first LIMIT 1`,
		`INSERT INTO credit_entries SELECT * FROM credit_entries WHERE workspace_id = 'ws_0'`,
		`DELETE FROM credit_entries WHERE workspace_id = 'ws_1'`,
		`INSERT INTO campaigns SELECT * FROM campaigns WHERE workspace_id = 'ws_0'`,
		`DELETE FROM campaigns WHERE workspace_id = 'ws_1'`,
		`INSERT INTO workspaces SELECT * FROM workspaces WHERE workspace_id = 'ws_2'`,
		`DELETE FROM workspaces WHERE workspace_id = 'ws_3'`,
		`DELETE FROM rejections WHERE koff = (SELECT min(koff) FROM rejections WHERE kpart = 1) AND kpart = 1`,
	} {
		r.exec(plant)
	}
	r.consume(r.traffic(2, 500, 0.1)...)
	stop() // another takes over
	r.audit()
	r.consume(r.traffic(3, 500, 0.1)...)
	for _, table := range []string{"credit_entries", "campaigns", "workspaces"} {
		storetest.Wait(t, 4*time.Minute, table+" has each row once", func() (bool, error) {
			return r.number(`SELECT count() FROM `+table) == 20 && r.number(`SELECT uniqExact(kpart, koff) FROM `+table) == 20, nil
		})
	}
	r.waitMended(audits.Events, audits.Entries, audits.States, audits.Batches, audits.Rejections, "usage_1m", "usage_15m", "usage_15m_total", "usage_1d")
	r.requireExact()
	mended := r.findings()
	t.Logf("mended: %v", mended)
	r.waitSwept()
	if again := r.findings(); fmt.Sprint(again) != fmt.Sprint(mended) {
		t.Errorf("after another sweep there is %v, before it there was %v", again, mended)
	}
	r.requireExact()
	if n := r.number(`SELECT toUInt64(sum(next_offset)) FROM ingest_progress FINAL WHERE topic = 'drawdown:repairs'`); n == 0 {
		t.Error("the revision does not rise with repairs")
	}
}

// TestAuditLeavesWhatKafkaHasNoMore loses a raw row and then its record: neither
// the range nor the rollups are touched, and it is said.
func TestAuditLeavesWhatKafkaHasNoMore(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.consume(r.traffic(1, 1000, 0)...)
	r.start(inAHurry)
	r.requireExact()
	before := r.number(`SELECT toUInt64(sum(events)) FROM usage_1m`)
	r.exec(`DELETE FROM events WHERE workspace_id = 'ws_1' AND event_id = (SELECT max(event_id) FROM events WHERE workspace_id = 'ws_1' AND time < now() - 7200)`)
	for p := range r.parts {
		_, end := r.logRange(r.broker.Topics.Consumption, p)
		r.deleteRecords(r.broker.Topics.Consumption, p, end)
	}
	r.audit()
	storetest.Wait(t, 3*time.Minute, "the range and its hour are unprovable", func() (bool, error) {
		found := r.findings()
		return found["events unprovable"] == 1 && found["usage_1m unprovable"] == 1, nil
	})
	if after := r.number(`SELECT toUInt64(sum(events)) FROM usage_1m`); after != before {
		t.Errorf("the rollup has %d events, before it had %d", after, before)
	}
	if n := r.number(`SELECT count() FROM events`); n != before-1 {
		t.Errorf("%d raw events, want %d", n, before-1)
	}
}

// TestVerifiedBatchKeepsWhatARollupAloneKnows has a batch verified of minutes
// whose raw events are missing for good: what usage_1m has of them stays, and the
// batch is added where it is known to be missing.
func TestVerifiedBatchKeepsWhatARollupAloneKnows(t *testing.T) {
	t.Parallel()
	engine := ownEngine(t) // it may abort where an answer is lost
	for name, lost := range map[string]bool{"ViewTookIt": false, "ViewDidNot": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, engine.Database(t))
			ws, hour := r.workspaceIn(0), time.Now().UTC().Truncate(time.Hour).Add(-3*time.Hour)
			event := func(id string, minute int) sent {
				return r.consumed(ws, id, "cmp_1", "a", 5, hour.Add(time.Duration(minute)*time.Minute))
			}
			var doubtful atomic.Bool
			w := &wire{judge: func(c *wired, _ []byte) fate {
				return when(c.data && c.table == "events" && doubtful.Swap(false), deafen)
			}}
			r.consume(event("known", 1), event("other", 2))
			c := r.startWired(w, func(c *Config) { c.InsertTimeout = 2 * time.Second })
			r.waitDone()
			minutes := func() []uint64 {
				return collect(r, "SELECT toUInt64(sum(events)) FROM usage_1m WHERE workspace_id = ? GROUP BY bucket ORDER BY bucket", scalar[uint64], ws)
			}
			r.exec("INSERT INTO usage_1m (workspace_id, bucket, campaign_id, action, credits_micro, events) VALUES (?, ?, 'cmp_1', 'a', 7, 1)", ws, hour.Add(time.Minute))
			r.exec("INSERT INTO audits (topic, epoch, kpart, what, last, hour, first_seen_at, state, step) VALUES (?, 1, 0, 'events', 1, ?, now64(3), 'unprovable', 3)",
				r.broker.Topics.Consumption, hour.Add(time.Hour))
			if lost {
				r.exec("DETACH TABLE usage_1m_view")
			}
			doubtful.Store(true)
			r.consume(event("late", 1), event("later", 2))
			r.waitDone()
			want := []uint64{3, 2}
			if lost {
				want[0] = 2 // whether the view took the batch there cannot be told
			}
			if got := minutes(); !slices.Equal(got, want) {
				t.Errorf("the minutes have %d events, want %d", got, want)
			}
			quarter := r.number("SELECT toUInt64(sum(events)) FROM usage_15m WHERE workspace_id = ?", ws)
			if sum := want[0] + want[1]; quarter != sum {
				t.Errorf("their quarter has %d events, want %d", quarter, sum)
			}
			if doubtful.Load() || c.counter(t, "drawdown_consumers_insert_errors_total") == 0 {
				t.Error("no INSERT was doubtful: this shows nothing")
			}
		})
	}
}

// TestAuditMendsTheEndsOfTheLedger loses the last row of it, of a partition into
// which nothing is counted after, so that no later range shows the gap; then the
// first one, which no earlier range shows; then all.
func TestAuditMendsTheEndsOfTheLedger(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.start(inAHurry)
	for i := range 2 {
		r.consume(r.traffic(uint64(i), 500, 0.1)...)
		r.send(r.broker.Topics.Ledger, r.granted("ws_1", fmt.Sprint("e", i), fmt.Sprint("g", i), nil))
		r.waitDone()
	}
	r.requireExact()
	r.audit()
	r.waitSwept()
	for _, lost := range []string{"max(first)", "min(first)", "arrayJoin(groupArray(first))"} {
		const told, open = `SELECT toUInt64(sum(records)) FROM ingest_batches`, `SELECT count() FROM audits FINAL WHERE state = 'drift'`
		before := r.number(told)
		for _, topic := range []string{r.broker.Topics.Consumption, r.broker.Topics.Ledger} {
			r.exec(`DELETE FROM ingest_batches WHERE (topic, kpart, first) IN (SELECT topic, kpart, `+lost+` FROM ingest_batches WHERE topic = ? GROUP BY topic, kpart)`, topic)
		}
		if r.number(told) == before {
			t.Fatalf("nothing is lost by %s", lost)
		}
		storetest.Wait(t, 4*time.Minute, "the ledger without "+lost+" is mended", func() (bool, error) {
			return r.number(told) == before && r.number(open) == 0, nil
		})
		r.requireExact()
	}
}

// TestRepairThatIsStoppedMidwayIsEndedByTheNextOwner has the rows of a repair
// removed, but its rollups not mended, when its owner stops: nothing is wrong
// with the range any more, and its hours are audited again.
func TestRepairThatIsStoppedMidwayIsEndedByTheNextOwner(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.retryMost = 200 * time.Millisecond
	r.consume(r.traffic(1, 500, 0)...)
	c := r.start(inAHurry)
	r.requireExact()
	r.exec(`INSERT INTO events SELECT * FROM events WHERE workspace_id = 'ws_1' AND time < now() - 7200 ORDER BY time DESC LIMIT 1`)
	r.exec(`ALTER TABLE usage_1m ADD CONSTRAINT nothing_is_mended CHECK events > 0`)
	stop := r.audit()
	r.wait("the doubled row is removed", func() bool {
		return r.number(`SELECT count() FROM events`) == 500 && r.number(`SELECT count() FROM audits FINAL WHERE state = 'drift' AND step = 2`) == 1
	})
	c.mustStop(t)
	stop()
	if n := r.number(`SELECT count() FROM audit_hours FINAL`); n != 1 {
		t.Errorf("%d hours were to be audited again, want that of the removed row", n)
	}
	r.exec(`ALTER TABLE usage_1m DROP CONSTRAINT nothing_is_mended`)
	r.start(inAHurry)
	r.audit()
	r.waitMended("usage_1m")
	r.requireExact()
}

// confirmedAt is a confirmed finding about a place in a partition of the topic of uses.
func (r *rig) confirmedAt(p int, at audits.Place) audits.Finding {
	at.Topic, at.Epoch, at.Partition = r.broker.Topics.Consumption, r.epoch, p
	return audits.Finding{
		Place: at, FirstSeenAt: schemas.MillisOf(time.Now()), State: audits.Drift, Step: audits.Confirmed, ConfirmedAt: schemas.NoInstant, SettledAt: schemas.NoInstant,
	}
}

// finding records a confirmed finding about an hour of a workspace.
func (r *rig) finding(table, workspace string, hour time.Time) {
	r.t.Helper()
	place := audits.Place{What: table, WorkspaceID: workspace, Hour: schemas.MillisOf(hour)}
	if err := audits.Write(context.Background(), r.db, r.confirmedAt(schemas.Partition([]byte(workspace), r.parts), place)); err != nil {
		r.t.Fatal(err)
	}
}

// TestEventThatIsLostAndSentAgainCountsOnce loses the rows of a use and of a grant,
// and has their records sent again before they are put in, when nothing knows
// them, also with a new time, as some producers try again, and after it, by the
// same consumer.
func TestEventThatIsLostAndSentAgainCountsOnce(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before the repair", "before the repair, the use with another time", "after the repair"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.ClickHouse(t))
			ws, at := r.workspaceIn(1), time.Now().UTC().Truncate(time.Hour).Add(-5*time.Hour)
			use := r.consumed(ws, "lost", "cmp_1", "a", 5, at)
			grant := r.granted(ws, "grant", "g1", nil)
			r.consume(use, r.consumed(ws, "kept", "cmp_1", "a", 7, at))
			r.send(r.broker.Topics.Ledger, grant)
			c := r.start(inAHurry)
			r.waitDone()
			lose := func() {
				r.exec("DELETE FROM events WHERE event_id = 'lost'")
				r.exec("DELETE FROM credit_entries WHERE event_id = 'grant'")
			}
			again := func() {
				if strings.Contains(when, "another time") {
					use = r.consumed(ws, "lost", "cmp_1", "a", 5, at.Add(61*time.Minute))
				}
				r.consume(use)
				r.send(r.broker.Topics.Ledger, grant)
				r.waitDone()
			}
			// One is settled by the generation that the other one ends, or by the next.
			settled := func() bool {
				return r.number(`SELECT count() FROM audits FINAL WHERE state IN ('repaired', 'ok') AND what IN ('events', 'credit_entries')`) == 2 &&
					r.number(`SELECT count() FROM audits FINAL WHERE state = 'drift'`) == 0
			}
			if strings.HasPrefix(when, "before") {
				c.mustStop(t)
				lose()
				r.start(inAHurry)
				again()
				r.audit()
				r.wait("the ledger is mended", settled)
			} else {
				lose()
				r.audit()
				r.wait("both are put in", settled)
				again()
				r.requireExact()
			}
			for _, query := range []string{
				"SELECT count() FROM events WHERE event_id = 'lost'", "SELECT count() FROM credit_entries WHERE event_id = 'grant'",
				"SELECT toUInt64(sum(events) - 1) FROM usage_1m", "SELECT toUInt64(sum(events) - 1) FROM usage_1d", "SELECT toUInt64(sum(duplicates) - 1) FROM ingest_batches", // of two topics
			} {
				if n := r.number(query); n != 1 {
					t.Errorf("%s is %d, want 1", query, n)
				}
			}
			r.waitSwept()
			if open := r.number("SELECT count() FROM audits FINAL WHERE state NOT IN ('repaired', 'ok')"); open != 0 {
				t.Errorf("findings %v", r.findings())
			}
		})
	}
}

// TestRowThatStandsAtAnotherOffsetIsPutBack moves a row to an offset of a later
// range: there it is no event that was sent again.
func TestRowThatStandsAtAnotherOffsetIsPutBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.consume(r.onesIn(1, 20, "first")...)
	r.start(inAHurry)
	r.waitDone()
	r.consume(r.onesIn(1, 20, "second")...)
	r.requireExact()
	r.exec("ALTER TABLE events UPDATE koff = 30 WHERE event_id = 'first-7' SETTINGS mutations_sync = 1")
	r.audit()
	r.wait("it is seen", func() bool { return r.number("SELECT count() FROM audits WHERE what = 'events'") > 0 })
	r.waitMended("events")
	r.waitSwept()
	r.requireExact()
}

// TestLedgerRowSaysWhatWasCountedBeforeSomeOfItWasCountedAgain has rows of a
// range counted again, of which the ledger said that one was a duplicate.
func TestLedgerRowSaysWhatWasCountedBeforeSomeOfItWasCountedAgain(t *testing.T) {
	rowsOf := func(n int) *rows {
		t := newRows(schemas.CreditsConsumed)
		for i := range n {
			t.append(&schemas.Event{Type: schemas.CreditsConsumed, WorkspaceID: []byte("ws"), ID: fmt.Append(nil, i), Credits: 2}, origin{koff: int64(i)})
		}
		return t
	}
	b := &batch{span: span{0, 9}, tables: []*rows{rowsOf(3)}, later: []*rows{rowsOf(2)}, duplicates: 4, skipped: 3}
	micro := func(n int64) schemas.Total { return schemas.Total{Lo: uint64(n)} }
	for _, c := range []struct {
		row  ledgered
		want bool
	}{
		{ledgered{inserted: 5, duplicates: 2, skipped: 3, micro: micro(10)}, true},
		{ledgered{inserted: 5, duplicates: 2, skipped: 3, micro: micro(11)}, false},
		{ledgered{inserted: 4, duplicates: 3, skipped: 3, micro: micro(8)}, true}, // one was a duplicate of the other
		{ledgered{inserted: 4, duplicates: 2, skipped: 3, micro: micro(8)}, false},
		{ledgered{inserted: 3, duplicates: 4, skipped: 3, micro: micro(6)}, false}, // it says so already
		{ledgered{inserted: 6, duplicates: 1, skipped: 3, micro: micro(12)}, false},
		{ledgered{inserted: 5, duplicates: 2, skipped: 3, rejected: 1, micro: micro(10)}, false},
	} {
		if got := c.row.saidBefore(b); got != c.want {
			t.Errorf("%+v said it before: %v, want %v", c.row, got, c.want)
		}
	}
}

// TestRollupIsNotMendedFromOneThatIsWrong confirms that quarters differ from the
// minutes where minutes were lost, before the minutes are confirmed: what the
// quarters alone still know must not be taken from them.
func TestRollupIsNotMendedFromOneThatIsWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	hour := time.Now().Add(-5 * time.Hour).Truncate(time.Hour)
	ws, other := r.workspaceIn(1), "ws_other"
	for i := 0; schemas.Partition([]byte(other), r.parts) != 1; i++ {
		other = fmt.Sprintf("ws_other_%d", i)
	}
	for i := range 10 {
		r.consume(r.consumed(ws, fmt.Sprint("a", i), "", "", 5, hour.Add(time.Minute)), r.consumed(other, fmt.Sprint("b", i), "", "", 5, hour))
	}
	r.start(inAHurry)
	r.requireExact()
	sum := func(table string) uint64 {
		return r.number(`SELECT toUInt64(sum(events)) FROM `+table+` WHERE workspace_id = ?`, ws)
	}
	r.exec(`DELETE FROM usage_1m WHERE workspace_id = ?`, ws)
	day := hour.Truncate(24 * time.Hour)
	for _, table := range []string{"usage_15m", "usage_1d"} {
		at := hour
		if table == "usage_1d" {
			at = day
		}
		r.finding(table, ws, at)
	}
	r.finding("usage_1d", other, day.Add(24*time.Hour)) // comes after them
	r.wait("those before the last are tried", func() bool { return r.findings()["usage_1d ok"] == 1 })
	if quarters, days := sum("usage_15m"), sum("usage_1d"); quarters != 10 || days != 10 {
		t.Errorf("%d events in the quarters and %d in the day, want 10", quarters, days)
	}
	r.finding("usage_1m", ws, hour)
	r.wait("all are settled", func() bool { return r.number(`SELECT count() FROM audits FINAL WHERE state = 'drift'`) == 0 })
	r.requireExact()
}

// TestDayKeepsWhatItsQuartersHaveLost loses the quarters of several hours of a day,
// of which one is repaired: the day must not lose the others.
func TestDayKeepsWhatItsQuartersHaveLost(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	ws, day := r.workspaceIn(1), time.Now().UTC().Truncate(24*time.Hour).Add(-48*time.Hour)
	for hour := range 12 {
		r.consume(r.consumed(ws, fmt.Sprint("a", hour), "", "", 5, day.Add(time.Duration(hour)*time.Hour)))
	}
	r.start(inAHurry)
	r.requireExact()
	r.exec(`DELETE FROM usage_15m WHERE bucket >= ?`, day.Add(6*time.Hour))
	r.exec(`DELETE FROM usage_15m_total WHERE bucket = ?`, day.Add(8*time.Hour))
	r.finding("usage_15m_total", ws, day)
	r.wait("that of a right hour is settled", func() bool { return r.findings()["usage_15m_total ok"] == 1 })
	if n := r.number(`SELECT toUInt64(sum(events)) FROM usage_1d`); n != 12 {
		t.Errorf("the day has %d events, want 12", n)
	}
	r.finding("usage_15m", ws, day.Add(7*time.Hour))
	r.wait("one hour is repaired", func() bool { return r.findings()["usage_15m repaired"] == 1 })
	r.requireExact()
}

// TestDayKeepsWhatRawEventsHaveLostForGood loses a raw event that Kafka has no more,
// and the quarters of its hour and of another one: what the minutes alone know of
// the first goes back into its quarters, and stays in the day.
func TestDayKeepsWhatRawEventsHaveLostForGood(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	ws, day := r.workspaceIn(1), time.Now().UTC().Truncate(24*time.Hour).Add(-48*time.Hour)
	for hour := range 4 {
		r.consume(r.consumed(ws, fmt.Sprint("a", hour), "", "", 5, day.Add(time.Duration(hour)*time.Hour)))
	}
	r.start(inAHurry)
	r.requireExact()
	r.exec(`DELETE FROM events WHERE event_id = 'a1'`)
	r.exec(`DELETE FROM usage_15m WHERE bucket >= ? AND bucket < ?`, day.Add(time.Hour), day.Add(3*time.Hour))
	_, end := r.logRange(r.broker.Topics.Consumption, 1)
	r.deleteRecords(r.broker.Topics.Consumption, 1, end)
	r.audit()
	r.waitMended("usage_15m")
	r.waitSwept()
	for _, table := range []string{"usage_1m", "usage_15m", "usage_15m_total", "usage_1d"} {
		if n := r.number(`SELECT toUInt64(sum(events)) FROM ` + table); n != 4 {
			t.Errorf("%s has %d events, want 4", table, n)
		}
	}
	if found := r.findings(); found["events unprovable"] != 1 {
		t.Errorf("findings %v: this shows nothing", found)
	}
}

// TestRepairsComeInTheOrderInWhichTheyWaitForOthers confirms more of a day than is
// handed out at once: those of it come last, for they wait for its quarters.
func TestRepairsComeInTheOrderInWhichTheyWaitForOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	c := &Consumer{Config: r.config(), db: r.db}
	day := schemas.MillisOf(time.Now().UTC().Truncate(24 * time.Hour))
	var all []audits.Finding
	for i := range repairsAtOnce {
		all = append(all, r.confirmedAt(0, audits.Place{What: "usage_1d", WorkspaceID: fmt.Sprint("ws_", i), Hour: day}))
	}
	for i, table := range []string{"usage_15m_total", "usage_15m", "usage_1m"} {
		all = append(all, r.confirmedAt(0, audits.Place{What: table, WorkspaceID: "ws_0", Hour: day + schemas.Millis(i)*schemas.Millis(time.Hour.Milliseconds())}))
	}
	if err := audits.Write(t.Context(), r.db, all...); err != nil {
		t.Fatal(err)
	}
	found, err := c.confirmed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for i := range found {
		order = append(order, found[i].What)
	}
	if want := append([]string{"usage_1m", "usage_15m", "usage_15m_total"}, slices.Repeat([]string{"usage_1d"}, repairsAtOnce)...); !slices.Equal(order, want) {
		t.Errorf("they come in the order %v", order)
	}
}

// TestLedgerThatWasMendedIsNotUnprovable has a repair of the ledger stopped before
// it was said, of what Kafka has no more: what is sound needs no proof, and what
// overlaps still does.
func TestLedgerThatWasMendedIsNotUnprovable(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.consume(r.onesIn(1, 5, "first")...)
	r.start(inAHurry)
	r.waitDone()
	r.consume(r.onesIn(1, 5, "second")...)
	r.requireExact()
	_, end := r.logRange(r.broker.Topics.Consumption, 1)
	r.deleteRecords(r.broker.Topics.Consumption, 1, end)
	const ranges = `SELECT toInt64(first), toInt64(last) FROM ingest_batches WHERE topic = ? AND kpart = 1 ORDER BY first`
	all := collect(r, ranges, func(rows driver.Rows) (s span, err error) {
		err = rows.Scan(&s.first, &s.last)
		return s, err
	}, r.broker.Topics.Consumption)
	doubled, overlapping := all[0], all[len(all)-1]
	if doubled == overlapping {
		t.Fatalf("ranges %v: this shows nothing", all)
	}
	r.exec(`INSERT INTO ingest_batches SELECT * REPLACE (last - 1 AS last, inserted - 1 AS inserted) FROM ingest_batches WHERE topic = ? AND kpart = 1 AND first = ?`,
		r.broker.Topics.Consumption, overlapping.first)
	for _, s := range []span{doubled, overlapping} {
		f := r.confirmedAt(1, audits.Place{What: audits.Batches, First: s.first, Last: s.last})
		f.Difference = audits.Difference{Expected: 1, Found: 2}
		if err := audits.Write(t.Context(), r.db, f); err != nil {
			t.Fatal(err)
		}
	}
	r.wait("both are settled", func() bool { return r.number(`SELECT count() FROM audits FINAL WHERE state = 'drift'`) == 0 })
	if found := r.findings(); found["ingest_batches ok"] != 1 || found["ingest_batches unprovable"] != 1 {
		t.Errorf("findings %v, want that of the sound range to be settled", found)
	}
}

// TestRepairWaitsForWhatEarlierRangesLack loses an event, and an event of a later
// range that also has a copy of the first: that range can be built as it was
// only after the first one is whole.
func TestRepairWaitsForWhatEarlierRangesLack(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	c := r.start(inAHurry)
	first := r.onesIn(1, 3, "first")
	r.consume(first...)
	r.waitDone()
	r.consume(append(r.onesIn(1, 2, "second"), first[0])...)
	r.requireExact()
	_ = c
	r.exec(`DELETE FROM events WHERE event_id IN ('first-0', 'second-0')`)
	report := func() (places []audits.Finding) {
		for _, s := range collect(r, `SELECT toInt64(first), toInt64(last) FROM ingest_batches WHERE topic = ? AND kpart = 1 AND inserted > 0 ORDER BY first DESC`, func(rows driver.Rows) (s span, err error) {
			err = rows.Scan(&s.first, &s.last)
			return s, err
		}, r.broker.Topics.Consumption) {
			places = append(places, r.confirmedAt(1, audits.Place{What: audits.Events, First: s.first, Last: s.last}))
		}
		return places
	}
	found := report()
	if len(found) != 2 {
		t.Skipf("%d batches instead of two: the machine is slow", len(found))
	}
	if err := audits.Write(context.Background(), r.db, found[0]); err != nil {
		t.Fatal(err)
	}
	r.finding("usage_1d", r.workspaceIn(1), time.Now().Add(-48*time.Hour).Truncate(24*time.Hour)) // comes after it
	r.wait("the later range is tried", func() bool { return r.findings()["usage_1d ok"] == 1 })
	if all := r.findings(); all["events unprovable"] != 0 || all["events drift"] != 1 {
		t.Errorf("findings %v", all)
	}
	if err := audits.Write(context.Background(), r.db, found[1]); err != nil {
		t.Fatal(err)
	}
	r.wait("both are repaired", func() bool { return r.findings()["events repaired"] == 2 })
	r.requireExact()
}
