package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// rig is a database as consumers leave it, and an auditor.
type rig struct {
	t      testing.TB
	conn   driver.Conn
	topics schemas.Topics
	parts  int
	now    time.Time
	next   map[partition]int64
	*Auditor
	c *cycles
}

func newRig(t testing.TB) *rig {
	t.Helper()
	ttl, err := schemas.ParseEventsTTL("13mo")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, conn: storetest.ClickHouse(t).Conn(t), topics: schemas.DefaultTopics(), parts: 4, now: time.Date(2026, 11, 25, 12, 0, 30, 0, time.UTC), next: make(map[partition]int64)}
	r.Auditor = New(Config{
		ClickHouse: r.conn, Topics: r.topics, Partitions: r.parts, Epoch: 1, EventsTTL: ttl,
		ConfirmAfter: time.Minute, Now: func() time.Time { return r.now }, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	r.takeOver()
	return r
}

// takeOver makes the auditor another one, which knows the tables alone.
func (r *rig) takeOver() { r.c = &cycles{a: r.Auditor} }

func (r *rig) exec(statement string, args ...any) {
	r.t.Helper()
	if err := r.conn.Exec(context.Background(), statement, args...); err != nil {
		r.t.Fatalf("cannot run %q: %v", statement, err)
	}
}

// count inserts a batch of n events of a workspace, a minute apart from an
// instant on, as a consumer does.
func (r *rig) count(workspace string, at time.Time, n int) (p partition, first int64) {
	r.t.Helper()
	p = partition{r.topics.Consumption, schemas.Partition([]byte(workspace), r.parts)}
	first = r.next[p]
	r.next[p] += int64(n)
	r.exec(`INSERT INTO events (workspace_id, time, event_id, campaign_id, action, credits_micro, content_hash, kafka_time, epoch, kpart, koff)
		SELECT ?, fromUnixTimestamp64Milli(? + number * 60000, 'UTC'), concat('id-', toString(? + number)), concat('cmp_', toString(number % 3)), 'a',
		if(number % 7 = 0, -1, 2) * 1000000, number, fromUnixTimestamp64Milli(?, 'UTC'), 1, ?, ? + number FROM numbers(?)`,
		workspace, at.UnixMilli(), first, at.UnixMilli(), p.id, first, n)
	r.exec(`INSERT INTO ingest_batches (topic, epoch, kpart, first, last, records, inserted, credits_micro, last_koff, last_time)
		SELECT ?, 1, ?, ?, ?, ?, ?, sum(credits_micro), ?, max(kafka_time) FROM events WHERE kpart = ? AND koff >= ? AND koff < ?`,
		p.topic, p.id, first, first+int64(n)-1, n, n, first+int64(n)-1, p.id, first, first+int64(n))
	return p, first
}

// caughtUp says that everything that came before an instant has been counted.
func (r *rig) caughtUp(at time.Time) {
	r.t.Helper()
	for _, topic := range r.topics.Inputs() {
		for id := range r.parts {
			r.exec("INSERT INTO ingest_progress (topic, epoch, kpart, next_offset, watermark, at) VALUES (?, 1, ?, ?, toDateTime64(?, 3, 'UTC'), now())",
				topic, id, r.next[partition{topic, id}], at.Format("2006-01-02 15:04:05"))
		}
	}
}

func (r *rig) cycle() {
	r.t.Helper()
	for again := true; again; again = r.c.behind {
		r.c.hoursRest, r.c.rangesRest = time.Time{}, time.Time{}
		if err := r.c.cycle(context.Background()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// sweep sweeps until everything was swept once.
func (r *rig) sweep() {
	r.t.Helper()
	steps := []func(context.Context) error{r.c.proveFindings}
	for range 1 + (r.c.place.sealed-r.c.place.provableFrom)/dayMillis {
		steps = append(steps, func(ctx context.Context) error { r.c.hoursRest = time.Time{}; return r.c.sweepHours(ctx) })
	}
	for range 3 * len(r.partitions()) {
		steps = append(steps, func(ctx context.Context) error { r.c.rangesRest = time.Time{}; return r.c.sweepRanges(ctx) })
	}
	for _, step := range steps {
		if err := step(context.Background()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// findings reads what is recorded.
func (r *rig) findings(condition string) (all []audits.Finding) {
	r.t.Helper()
	err := r.query(context.Background(), "findings", audits.Query+" AND "+condition+" ORDER BY what, hour, first", r.bound(), func(scan func(...any) error) error {
		var f audits.Finding
		err := f.Scan(scan)
		all = append(all, f)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// whats are the tables of findings.
func whats(findings []audits.Finding) (all []string) {
	for _, f := range findings {
		all = append(all, f.What)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// state inserts a batch of n rows of a workspace into the tables of the ledger's
// topic or of the campaigns', as a consumer does.
func (r *rig) state(topic, workspace string, n int) {
	r.t.Helper()
	p := partition{topic, schemas.Partition([]byte(workspace), r.parts)}
	first, micro := r.next[p], 0
	r.next[p] += int64(n)
	tables := []string{"campaigns (workspace_id, campaign_id, time, event_id, status", "workspaces (workspace_id, name, time, event_id, week_start"}
	values := "if(number % 2 = 0, 'ACTIVE', 'monday')"
	if topic == r.topics.Ledger {
		micro = 5 * n
		tables, values = []string{"credit_entries (workspace_id, grant_id, time, event_id, credits_micro"}, "5"
	}
	for i, table := range tables { // offsets in turn
		r.exec("INSERT INTO "+table+`, content_hash, epoch, kpart, koff)
			SELECT ?, concat('x_', toString(number)), toDateTime64('2026-11-22 00:00:00', 3, 'UTC'), concat('id-', toString(number)), `+values+`, number, 1, ?, ? + number
			FROM numbers(?) WHERE number % ? = ?`, workspace, p.id, first, n, len(tables), i)
	}
	r.exec(`INSERT INTO ingest_batches (topic, epoch, kpart, first, last, records, inserted, credits_micro, last_koff, last_time)
		VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, '2026-11-22 00:00:00')`, topic, p.id, first, first+int64(n)-1, n, n, micro, first+int64(n)-1)
}

func (r *rig) history() {
	for range 2 {
		r.state(r.topics.Ledger, "ws_a", 6)
		r.state(r.topics.Campaigns, "ws_a", 6)
	}
	for day := range 3 {
		for _, ws := range []string{"ws_a", "ws_b", "ws_c"} {
			r.count(ws, time.Date(2026, 11, 22+day, 3, 0, 0, 0, time.UTC), 400)
		}
	}
	r.caughtUp(r.now)
}

func TestAuditOfWhatIsRightFindsNothingAndSeals(t *testing.T) {
	r := newRig(t)
	r.history()
	r.cycle()
	if all := r.findings("1"); len(all) != 0 {
		t.Errorf("found %+v", all)
	}
	s := r.Status()
	if want := schemas.MillisOf(time.Date(2026, 11, 25, 11, 0, 0, 0, time.UTC)); s.SealedThrough != want {
		t.Errorf("sealed through %s, want %s", s.SealedThrough, want)
	}
	if want := schemas.MillisOf(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)); s.ProvableFrom != want {
		t.Errorf("provable from %s, want %s", s.ProvableFrom, want)
	}
}

// plants are all kinds of drift, and the tables in which it must be seen.
var plants = map[string]struct {
	statements []string
	want       []string
}{
	"RawRowDoubled": {[]string{
		"INSERT INTO events SELECT * FROM events WHERE workspace_id = 'ws_a' LIMIT 1",
	}, []string{audits.Events}},
	"RawRowLost":          {[]string{"DELETE FROM events WHERE workspace_id = 'ws_a' AND event_id = 'id-7'"}, []string{audits.Events, "usage_1m"}},
	"MinuteDoubled":       {[]string{"INSERT INTO usage_1m SELECT * FROM usage_1m WHERE workspace_id = 'ws_b' ORDER BY bucket LIMIT 1"}, []string{"usage_1m"}},
	"MinuteLost":          {[]string{"DELETE FROM usage_1m WHERE workspace_id = 'ws_b' AND bucket = '2026-11-23 04:05:00'"}, []string{"usage_15m", "usage_1m"}},
	"QuarterDoubled":      {[]string{"INSERT INTO usage_15m SELECT * FROM usage_15m WHERE workspace_id = 'ws_b' ORDER BY bucket LIMIT 1"}, []string{"usage_15m"}},
	"QuarterLost":         {[]string{"DELETE FROM usage_15m WHERE workspace_id = 'ws_b' AND bucket = '2026-11-23 04:15:00'"}, []string{"usage_15m", "usage_15m_total", "usage_1d"}},
	"QuarterOfTotalLost":  {[]string{"DELETE FROM usage_15m_total WHERE workspace_id = 'ws_b' AND bucket = '2026-11-23 04:15:00'"}, []string{"usage_15m_total"}},
	"DayLost":             {[]string{"DELETE FROM usage_1d WHERE workspace_id = 'ws_b' AND bucket = '2026-11-23 00:00:00'"}, []string{"usage_1d"}},
	"DayMoved":            {[]string{"INSERT INTO usage_1d SELECT workspace_id, bucket + toIntervalDay(1), campaign_id, action, credits_micro, refunds_micro, events FROM usage_1d WHERE workspace_id = 'ws_b' AND bucket = '2026-11-22 00:00:00'", "DELETE FROM usage_1d WHERE workspace_id = 'ws_b' AND bucket = '2026-11-22 00:00:00'"}, []string{"usage_1d"}},
	"MinutesTruncated":    {[]string{"TRUNCATE TABLE usage_1m"}, []string{"usage_15m", "usage_1m"}},
	"DaysTruncated":       {[]string{"TRUNCATE TABLE usage_1d"}, []string{"usage_1d"}},
	"LedgerRowDoubled":    {[]string{"INSERT INTO ingest_batches SELECT * FROM ingest_batches WHERE topic = 'credits.consumption' AND first = 0 AND kpart = (SELECT min(kpart) FROM ingest_batches WHERE topic = 'credits.consumption')"}, []string{audits.Batches}},
	"LedgerRowOfAGapLost": {[]string{"DELETE FROM ingest_batches WHERE topic = 'credits.consumption' AND first = 400 AND kpart = (SELECT min(kpart) FROM ingest_batches WHERE topic = 'credits.consumption')"}, []string{audits.Batches}},
	"LastLedgerRowsLost": {[]string{
		"DELETE FROM ingest_batches WHERE topic = 'credits.consumption' AND (kpart, first) = (SELECT kpart, max(first) FROM ingest_batches WHERE topic = 'credits.consumption' GROUP BY kpart ORDER BY kpart LIMIT 1)",
		"DELETE FROM ingest_batches WHERE topic = 'credits.ledger' AND first = 6",
	}, []string{audits.Batches}},
	"FirstLedgerRowLost": {[]string{
		"DELETE FROM ingest_batches WHERE topic = 'credits.consumption' AND first = 0 AND kpart = (SELECT min(kpart) FROM ingest_batches WHERE topic = 'credits.consumption')",
		"DELETE FROM ingest_batches WHERE topic = 'credits.campaigns' AND first = 0",
	}, []string{audits.Batches}},
	"LedgerTruncated": {[]string{"TRUNCATE TABLE ingest_batches"}, []string{audits.Batches}},
	"GrantsDoubledAndLost": {[]string{
		"INSERT INTO credit_entries SELECT * FROM credit_entries WHERE koff = 3",
		"DELETE FROM credit_entries WHERE koff = 7",
	}, []string{audits.Entries}},
	"GrantChanged": {[]string{
		"INSERT INTO credit_entries SELECT * REPLACE (credits_micro + 1 AS credits_micro) FROM credit_entries WHERE koff = 2",
		"DELETE FROM credit_entries WHERE koff = 2 AND credits_micro = 5",
	}, []string{audits.Entries}},
	"CampaignDoubledWorkspaceLost": {[]string{
		"INSERT INTO campaigns SELECT * FROM campaigns WHERE koff = 2",
		"DELETE FROM workspaces WHERE koff = 11",
	}, []string{audits.States}},
	"CampaignLostWorkspaceDoubled": {[]string{
		"DELETE FROM campaigns WHERE koff = 2",
		"INSERT INTO workspaces SELECT * FROM workspaces WHERE koff = 3",
	}, []string{audits.States}},
	"MovedToAnEmptyMinute": {[]string{"INSERT INTO usage_1m SELECT workspace_id, bucket - toIntervalHour(2), campaign_id, action, credits_micro, refunds_micro, events FROM usage_1m WHERE workspace_id = 'ws_b' AND bucket = '2026-11-23 03:05:00'"}, []string{"usage_1m"}},
}

// TestAuditFindsPlantedDrift plants each kind of drift where everything was
// audited already: the sweep sees it, a second look confirms it.
func TestAuditFindsPlantedDrift(t *testing.T) {
	for name, plant := range plants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.history()
			r.cycle()
			for _, statement := range plant.statements {
				r.exec(statement)
			}
			r.takeOver()
			r.cycle()
			r.sweep()
			seen := r.findings("step = 1")
			if got := whats(seen); !slices.Equal(got, plant.want) {
				t.Fatalf("seen in %v, want %v: %+v", got, plant.want, seen)
			}
			r.takeOver()
			r.now = r.now.Add(time.Minute)
			r.cycle()
			want := len(r.findings("step = 1")) // a lost raw row is a matter of its range alone
			if confirmed := r.findings("step = 2 AND state = 'drift'"); len(confirmed)+want != len(seen) || len(confirmed) == 0 {
				t.Errorf("%d of %d are confirmed, %d wait", len(confirmed), len(seen), want)
			}
			report, err := r.Check(context.Background(), Scope{From: schemas.NoInstant, To: schemas.NoInstant})
			if err != nil {
				t.Fatal(err)
			}
			if got := whats(report.Drift); !slices.Equal(got, plant.want) {
				t.Errorf("the check sees %v, want %v", got, plant.want)
			}
		})
	}
}

// TestAuditPartsALongGap loses a row of the ledger that is more than can be built
// again at once: in the middle, and then all before it as well.
func TestAuditPartsALongGap(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, n := range []int{6, 2*rangeOffsets + 50, 6} {
		r.state(r.topics.Ledger, "ws_a", n)
	}
	r.caughtUp(r.now)
	r.cycle()
	require := func(first int64) {
		t.Helper()
		r.takeOver()
		r.cycle()
		r.sweep()
		var got, want []int64
		for _, f := range r.findings("step = 1") {
			got = append(got, f.First, f.Last)
		}
		for ; first < 2*rangeOffsets+56; first += rangeOffsets {
			want = append(want, first, min(first+rangeOffsets, 2*rangeOffsets+56)-1)
		}
		if !slices.Equal(got, want) {
			t.Errorf("found ranges %v, want %v", got, want)
		}
	}
	r.exec("DELETE FROM ingest_batches WHERE first = 6")
	require(6)
	r.exec("TRUNCATE TABLE audits")
	r.exec("DELETE FROM ingest_batches WHERE first = 0")
	require(0)
}

func TestAuditOfWhatIsGoneWhenLookedAtAgainIsFine(t *testing.T) {
	r := newRig(t)
	r.history()
	r.exec("INSERT INTO usage_1d (workspace_id, bucket, events) VALUES ('ws_a', '2026-11-23 00:00:00', 5)")
	r.cycle()
	r.exec("INSERT INTO usage_1d (workspace_id, bucket, events) VALUES ('ws_a', '2026-11-23 00:00:00', -5)")
	r.now = r.now.Add(time.Minute)
	r.cycle()
	all := r.findings("1")
	if len(all) != 1 || all[0].State != audits.Fine || all[0].Step != audits.Settled {
		t.Errorf("found %+v", all)
	}
}

// TestAuditOfALateEventMakesItsHourDirty counts into a sealed hour and loses the
// event in a rollup: the hour is audited again.
func TestAuditOfALateEventMakesItsHourDirty(t *testing.T) {
	r := newRig(t)
	r.history()
	r.cycle()
	sealed := r.Status().SealedThrough
	r.count("ws_a", time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC), 1)
	r.exec("INSERT INTO usage_1m (workspace_id, bucket, campaign_id, action, events) VALUES ('ws_a', '2026-11-22 20:00:00', 'cmp_0', 'a', -1)")
	var err error
	if r.c.progress, err = r.readProgress(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := r.c.forwardRanges(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got, want := r.c.place.sealedThrough(), schemas.MillisOf(time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)); got != want {
		t.Errorf("sealed through %s, want %s: the hour is dirty", got, want)
	}
	r.takeOver()
	r.cycle()
	if got := r.Status().SealedThrough; got != sealed {
		t.Errorf("sealed through %s, want %s", got, sealed)
	}
	if got := whats(r.findings("step = 1")); fmt.Sprint(got) != "[usage_1m]" {
		t.Errorf("seen in %v", got)
	}
}

// TestAuditGoesOnWithWhatAnotherAuditorHasSeen leaves findings of two auditors
// about one place: of these one goes on, and none stays open for ever.
func TestAuditGoesOnWithWhatAnotherAuditorHasSeen(t *testing.T) {
	r := newRig(t)
	r.history()
	r.cycle()
	r.exec(plants["DayLost"].statements[0])
	r.sweep()
	r.now = r.now.Add(time.Second)
	r.exec(`INSERT INTO audits SELECT * REPLACE (first_seen_at + 30 AS first_seen_at, fingerprint + 1 AS fingerprint) FROM audits FINAL WHERE what = 'usage_1d'`)
	r.now = r.now.Add(time.Minute)
	r.cycle() // confirms its own, for the other's it is too early
	r.exec(`INSERT INTO audits SELECT * REPLACE ('repaired' AS state, 4 AS step) FROM audits AS a FINAL WHERE a.step = 2`)
	r.cycle() // learns that it is mended, and goes on with the other's
	if d := r.Status().Drift["usage_1d"]; d != 1 {
		t.Fatalf("%d places are known to differ, want that of the other auditor", d)
	}
	r.now = r.now.Add(time.Minute)
	r.cycle() // another difference: neither is what it was
	r.takeOver()
	r.cycle()
	if open := r.findings("state = 'drift'"); len(open) != 1 || len(r.findings("what = 'usage_1d' AND state = 'ok'")) != 1 {
		t.Errorf("open %+v", open)
	}
	// Two that are only seen, and a new auditor.
	r.exec(`INSERT INTO audits SELECT * REPLACE (first_seen_at + 1 AS first_seen_at) FROM audits FINAL WHERE state = 'drift'`)
	r.takeOver()
	r.cycle()
	if open := r.findings("state = 'drift'"); len(open) != 1 {
		t.Errorf("open %+v", open)
	}
}

// TestAuditProvesNothingByWhatItCouldNotLookAt has something under way in a
// partition that lacks a raw row: a minute must not be mended after it.
func TestAuditProvesNothingByWhatItCouldNotLookAt(t *testing.T) {
	r := newRig(t)
	r.history()
	r.cycle()
	p := partition{r.topics.Consumption, schemas.Partition([]byte("ws_a"), r.parts)}
	r.exec(plants["RawRowLost"].statements[0])
	r.exec(`INSERT INTO events (workspace_id, time, epoch, kpart, koff) SELECT 'ws_a', '2026-11-25 12:00:00', 1, ?, 1000000`, p.id)
	delete(r.c.proofs, p)
	for range 3 {
		if err := r.c.prove(context.Background(), p); err != nil {
			t.Fatal(err)
		}
	}
	if at := r.c.proofs[p]; at.whole || at.from != r.c.place.ranges[p] {
		t.Errorf("proven back to offset %d, whole: %v", at.from, at.whole)
	}
	r.exec(`DELETE FROM events WHERE koff = 1000000`)
	for range 3 {
		if err := r.c.prove(context.Background(), p); err != nil {
			t.Fatal(err)
		}
	}
	if at := r.c.proofs[p]; !at.whole || len(r.findings("what = 'events'")) != 1 {
		t.Errorf("proven back to offset %d, whole: %v, findings %+v", at.from, at.whole, r.findings("1"))
	}
}

// TestAuditFindsWhatIsBeyondItsBound has more differences in an hour than one
// comparison returns: the rest is found when these are mended, and while some of
// them are left as they are, or wait for a partition that nobody mends.
func TestAuditFindsWhatIsBeyondItsBound(t *testing.T) {
	const workspaces = 8*maxFindings + 1
	r := newRig(t)
	r.history()
	r.exec(`INSERT INTO usage_15m (workspace_id, bucket, events) SELECT concat('many_', toString(number)), '2026-11-24 04:00:00', 1 FROM numbers(?)`, workspaces)
	r.exec(`INSERT INTO audits (topic, epoch, kpart, what, workspace_id, hour, first_seen_at, state, step, fingerprint)
		SELECT ?, 1, kafkaMurmurHash(workspace_id) % 4, 'usage_15m', workspace_id, bucket, '2026-11-25 00:00:00', 'unprovable', 3, cityHash64(bucket, '', '', toInt128(0), toInt128(0), toInt64(-1))
		FROM usage_15m WHERE workspace_id LIKE 'many_1%'`, r.topics.Consumption)
	hour := schemas.MillisOf(time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC))
	want := workspaces - len(r.findings("state = 'unprovable'"))
	mend := func(condition string) {
		t.Helper()
		condition += " AND a.step = 2"
		r.exec(`INSERT INTO usage_15m (workspace_id, bucket, events) SELECT workspace_id, hour, -1 FROM audits AS a FINAL WHERE ` + condition)
		r.exec(`INSERT INTO audits SELECT * REPLACE ('repaired' AS state, 4 AS step) FROM audits AS a FINAL WHERE ` + condition)
	}
	for found, rounds := 0, 0; found < want; rounds++ {
		if rounds > 10*leftCycles {
			t.Fatalf("%d of %d were found", found, want)
		}
		r.now = r.now.Add(time.Minute)
		r.cycle()
		found = len(r.findings("state IN ('drift', 'repaired')"))
		if sealed := r.Status().SealedThrough; found < want && sealed > hour {
			t.Fatalf("with %d of %d found, all through %s passes for audited", found, want, sealed)
		}
		mend("kpart != 0")
	}
	r.now = r.now.Add(time.Minute)
	r.cycle()
	mend("1")
	for range leftCycles {
		r.cycle()
	}
	if sealed, open := r.Status().SealedThrough, r.findings("state = 'drift'"); sealed <= hour || len(open) > 0 {
		t.Errorf("sealed through %s with %d findings open", sealed, len(open))
	}
}

// TestAuditLeavesMinutesOfAnEarlierEpoch loses a raw row that the topics of
// another epoch brought: its minute may be right.
func TestAuditLeavesMinutesOfAnEarlierEpoch(t *testing.T) {
	r := newRig(t)
	r.history()
	r.exec(`INSERT INTO ingest_batches (topic, epoch, kpart, first, last, records, inserted, last_koff, last_time) VALUES (?, 0, 0, 0, 0, 1, 1, 0, '2026-11-22 06:00:00')`, r.topics.Consumption)
	r.cycle()
	r.exec(`INSERT INTO usage_1m (workspace_id, bucket, events) VALUES ('ws_a', '2026-11-22 04:10:00', 1), ('ws_a', '2026-11-24 04:10:00', 1)`)
	r.takeOver()
	r.cycle()
	r.sweep()
	r.now = r.now.Add(time.Minute)
	r.cycle()
	r.cycle()
	if all := r.findings("what = 'usage_1m'"); len(all) != 2 || all[0].State != audits.Unprovable || all[1].Step != audits.Confirmed {
		t.Errorf("%+v", all)
	}
}

// TestAuditComparesDaysWithFewEventsTogether has a day that is compared by the
// hour between days that are compared together.
func TestAuditComparesDaysWithFewEventsTogether(t *testing.T) {
	r := newRig(t)
	day := func(n int) schemas.Millis {
		return schemas.MillisOf(time.Date(2026, 8, 1+n, 0, 0, 0, 0, time.UTC))
	}
	const dense, days = 10, 60
	for _, n := range []int{0, 3, 9, 12, 59} {
		r.count("ws_a", day(n).Time().Add(3*time.Hour), 10)
	}
	r.exec("INSERT INTO usage_1d (workspace_id, bucket, events) VALUES ('ws_b', toDateTime(?, 'UTC'), ?)", int64(day(dense))/1000, dayEvents+1)
	want := []span{{day(0) + hourMillis, day(dense)}}
	for hour := range schemas.Millis(24) {
		want = append(want, span{day(dense) + hour*hourMillis, day(dense) + (hour+1)*hourMillis})
	}
	want = append(want, span{day(dense + 1), day(dense + 1 + maxDays)}, span{day(dense + 1 + maxDays), day(days) - hourMillis})
	var got []span
	for at := want[0].from; at < day(days)-hourMillis; {
		s, err := r.worth(context.Background(), at, day(days)-hourMillis)
		if err != nil {
			t.Fatal(err)
		}
		got, at = append(got, s), s.to
	}
	if !slices.Equal(got, want) {
		t.Errorf("compared together %v, want %v", got, want)
	}

	for _, n := range []int{3, 12} {
		r.exec("INSERT INTO usage_15m (workspace_id, bucket, events) VALUES ('ws_a', toDateTime(?, 'UTC'), 1)", int64(day(n))/1000)
	}
	r.exec("TRUNCATE TABLE usage_1d")
	r.caughtUp(r.now)
	report, err := r.Check(context.Background(), Scope{From: schemas.NoInstant, To: schemas.NoInstant})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, f := range report.Drift {
		found[f.What]++
	}
	if want := map[string]int{"usage_15m": 2, "usage_1d": 5}; !maps.Equal(found, want) {
		t.Errorf("the check finds %v, want %v", found, want)
	}
}

// neverRests counts batch after batch into the partition of a workspace, at
// present, and has the rows of the next one there before the last one is done.
// each runs between two. It returns what ends that.
func (r *rig) neverRests(workspace string, each func(ctx context.Context) error) (stop func()) {
	r.t.Helper()
	p := partition{r.topics.Consumption, schemas.Partition([]byte(workspace), r.parts)}
	ctx, cancel := context.WithCancel(context.Background())
	insert := func(first int64) error {
		return r.conn.Exec(ctx, `INSERT INTO events (workspace_id, time, event_id, credits_micro, kafka_time, epoch, kpart, koff)
			SELECT ?, fromUnixTimestamp64Milli(?, 'UTC'), concat('flow-', toString(? + number)), 1000000, fromUnixTimestamp64Milli(?, 'UTC'), 1, ?, ? + number FROM numbers(10)`,
			workspace, r.now.UnixMilli(), first, r.now.UnixMilli(), p.id, first)
	}
	first := r.next[p]
	if err := insert(first); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		for {
			err := errors.Join(insert(first+10), each(ctx), r.conn.Exec(ctx, `INSERT INTO ingest_batches (topic, epoch, kpart, first, last, records, inserted, credits_micro, last_koff, last_time)
				VALUES (?, 1, ?, ?, ?, 10, 10, 10000000, ?, fromUnixTimestamp64Milli(?, 'UTC'))`, p.topic, p.id, first, first+9, first+9, r.now.UnixMilli()))
			if first += 10; err != nil {
				ended <- err
				return
			}
		}
	}()
	return func() {
		r.t.Helper()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			r.t.Errorf("counting ended: %v", err)
		}
	}
}

// TestAuditSeesDriftInAPartitionThatNeverRests plants drift in hours that are
// over while events of the present never stop.
func TestAuditSeesDriftInAPartitionThatNeverRests(t *testing.T) {
	r := newRig(t)
	r.history()
	r.cycle()
	stop := r.neverRests("ws_a", func(context.Context) error { return nil })
	r.exec(`INSERT INTO usage_15m (workspace_id, bucket, events) VALUES ('ws_a', '2026-11-24 04:15:00', 1)`)
	r.exec(`ALTER TABLE usage_1d UPDATE events = events + 1 WHERE workspace_id = 'ws_a' AND bucket = '2026-11-22' SETTINGS mutations_sync = 1`)
	r.sweep()
	if seen := r.findings("step = 1"); !slices.Equal(whats(seen), []string{"usage_15m", "usage_1d"}) {
		t.Errorf("seen %+v", seen)
	}
	report, err := r.Check(context.Background(), Scope{From: schemas.NoInstant, To: schemas.MillisOf(r.now.Add(-2 * time.Hour))})
	if err != nil || !slices.Equal(whats(report.Drift), []string{"usage_15m", "usage_1d"}) || len(report.Unsettled) > 0 {
		t.Errorf("the check finds %+v and leaves %+v: %v", report.Drift, report.Unsettled, err)
	}
	r.now = r.now.Add(time.Minute)
	if err := r.c.lookAgain(context.Background()); err != nil {
		t.Fatal(err)
	}
	stop()
	if all := r.findings("1"); !slices.Equal(whats(all), []string{"usage_15m", "usage_1d"}) || slices.ContainsFunc(all, func(f audits.Finding) bool { return f.Step != audits.Confirmed }) {
		t.Errorf("confirmed %+v", all)
	}
}

// TestAuditComparesAgainWhatGoesOnChanging has the figures of an hour change all
// the time: what differs is not known, and the hour is not taken for audited.
func TestAuditComparesAgainWhatGoesOnChanging(t *testing.T) {
	r := newRig(t)
	r.history()
	r.cycle()
	hour := schemas.MillisOf(time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC))
	n := 0
	late := func(ctx context.Context) error {
		n++ // what is the same twice goes in once
		return r.conn.Exec(ctx, `INSERT INTO usage_15m (workspace_id, bucket, events) VALUES ('ws_a', '2026-11-24 04:15:00', ?)`, n)
	}
	if err := late(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := r.neverRests("ws_a", late)
	r.sweep()
	report, err := r.Check(context.Background(), Scope{From: hour, To: hour + hourMillis})
	stop()
	if err != nil || len(report.Drift) > 0 || !slices.Equal(whats(report.Unsettled), []string{"usage_15m"}) {
		t.Errorf("the check finds %+v and leaves %+v: %v", report.Drift, report.Unsettled, err)
	}
	if all := r.findings("1"); len(all) > 0 || !r.c.place.dirty[hour] {
		t.Errorf("found %+v; dirty hours are %v", all, r.c.place.dirty)
	}
	if through := r.Status().SealedThrough; through > hour && r.c.place.sealedThrough() > hour {
		t.Errorf("everything up to %s is said to be audited", through.Time())
	}
}

// TestAuditOfAStoppedPartitionHoldsUpNoOther has rows past the ledger for good, as
// of a partition that is parked in the middle of a batch, and drift in many of its
// hours: all of a cycle would not be enough to wait for each.
func TestAuditOfAStoppedPartitionHoldsUpNoOther(t *testing.T) {
	r := newRig(t)
	r.history()
	r.cycle()
	stopped := schemas.Partition([]byte("ws_a"), r.parts)
	if schemas.Partition([]byte("ws_c"), r.parts) == stopped {
		t.Fatal("both workspaces are in one partition")
	}
	r.exec(`INSERT INTO events (workspace_id, time, epoch, kpart, koff) SELECT 'ws_a', '2026-11-25 12:00:00', 1, ?, 1000000`, stopped)
	var hours []schemas.Millis
	for day := range 3 {
		at := time.Date(2026, 11, 22+day, 4, 0, 0, 0, time.UTC)
		r.exec("INSERT INTO usage_15m (workspace_id, bucket, events) VALUES ('ws_a', ?, 1)", at)
		r.exec("INSERT INTO usage_1d (workspace_id, bucket, events) VALUES ('ws_a', ?, 5)", at.Truncate(24*time.Hour))
		hours = append(hours, schemas.MillisOf(at))
	}
	last := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	r.exec("INSERT INTO usage_15m (workspace_id, bucket, events) VALUES ('ws_c', ?, 1)", last)
	if err := r.c.touch(t.Context(), append(hours, schemas.MillisOf(last))); err != nil {
		t.Fatal(err)
	}
	r.cycle()
	if all := r.findings("1"); len(all) != 1 || all[0].WorkspaceID != "ws_c" {
		t.Errorf("found %+v", all)
	}
	for _, hour := range hours {
		if !r.c.place.dirty[hour] {
			t.Errorf("%s is said to be audited", hour.Time())
		}
	}
	r.exec("DELETE FROM events WHERE koff = 1000000")
	for range leftCycles {
		r.cycle()
	}
	if all := r.findings("workspace_id = 'ws_a'"); len(all) != 6 {
		t.Errorf("once it goes on %+v are found, want six", all)
	}
}
