package aggregator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/aggregator"
	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// rig is a database, a broker, and aggregators over them.
type rig struct {
	t      testing.TB
	conn   driver.Conn
	broker *storetest.Broker
	// before is called with each statement of an aggregator before it is sent;
	// an error stands for one of the store's. nil: nobody is asked.
	before func(statement string) error
	// stopping is closed when an aggregator has been told to stop.
	stopping chan struct{}
	toldOnce sync.Once

	mu       sync.Mutex
	log      bytes.Buffer
	now      time.Time
	inserted int // the last offset, of whatever partition and topic
}

func newRig(t testing.TB) *rig {
	t.Helper()
	if t, ok := t.(*testing.T); ok {
		t.Parallel() // each waits for looks most of the time
	}
	db := storetest.ClickHouse(t)
	r := &rig{t: t, conn: db.Conn(t), broker: storetest.Kafka(t, storetest.KafkaOptions{}), stopping: make(chan struct{}), now: time.Date(2026, 11, 25, 12, 0, 30, 0, time.UTC)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", &r.log)
		}
	})
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// Write makes the rig a log that many may write.
func (r *rig) Write(text []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(text)
}

// start runs an aggregator until the test ends or stop is called.
func (r *rig) start() (*aggregator.Aggregator, func()) { return r.startIn("aggregators") }

// startIn runs one in a group.
func (r *rig) startIn(group string) (a *aggregator.Aggregator, stop func()) {
	r.t.Helper()
	return r.startWith(group, prometheus.NewRegistry())
}

// startWith runs one in a group, with metrics.
func (r *rig) startWith(group string, registry *prometheus.Registry) (a *aggregator.Aggregator, stop func()) {
	r.t.Helper()
	a, err := aggregator.New(aggregator.Config{
		Brokers: []string{r.broker.Addr}, Group: group, Topics: r.broker.Topics, Partitions: 4, Epoch: 1,
		ClickHouse: &listened{r.conn, r}, SessionTimeout: 20 * time.Second,
		Now: r.clock, Log: slog.New(slog.NewTextHandler(r, nil)), Registerer: registry,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		r.toldOnce.Do(func() { close(r.stopping) })
		if err := <-done; err != nil {
			r.t.Errorf("the aggregator ended: %v", err)
		}
	})
	r.t.Cleanup(stop)
	return a, stop
}

// listened is a connection that tells the rig what is sent.
type listened struct {
	driver.Conn
	r *rig
}

func (l *listened) say(statement string) error {
	if l.r.before == nil {
		return nil
	}
	return l.r.before(statement)
}

func (l *listened) Query(ctx context.Context, statement string, args ...any) (driver.Rows, error) {
	if err := l.say(statement); err != nil {
		return nil, err
	}
	return l.Conn.Query(ctx, statement, args...)
}

func (l *listened) Exec(ctx context.Context, statement string, args ...any) error {
	if err := l.say(statement); err != nil {
		return err
	}
	return l.Conn.Exec(ctx, statement, args...)
}

func (l *listened) PrepareBatch(ctx context.Context, statement string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	if err := l.say(statement); err != nil {
		return nil, err
	}
	return l.Conn.PrepareBatch(ctx, statement, opts...)
}

// eventually waits for a state that is near.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	storetest.Wait(t, 4*time.Minute, what, func() (bool, error) { return holds(), nil })
}

func (r *rig) exec(statement string, args ...any) {
	r.t.Helper()
	if err := r.conn.Exec(context.Background(), statement, args...); err != nil {
		r.t.Fatalf("cannot run %q: %v", statement, err)
	}
}

// event is one row of events; the views fill the rollups.
type event struct {
	workspace, campaign string
	at                  time.Time
	credits             schemas.Credits
}

func (r *rig) insert(events ...event) {
	r.t.Helper()
	batch, err := r.conn.PrepareBatch(context.Background(),
		"INSERT INTO events (workspace_id, time, event_id, campaign_id, credits_micro, kafka_time, epoch, kpart, koff)")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range events {
		r.inserted++
		part := uint16(schemas.Partition([]byte(e.workspace), 4))
		if err := batch.Append(e.workspace, e.at, fmt.Sprintf("e%d", r.inserted), e.campaign, int64(e.credits), e.at, uint32(1), part, uint64(r.inserted)); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) grant(workspace, id string, credits schemas.Credits, from time.Time, to *time.Time) {
	r.t.Helper()
	r.inserted++
	r.exec(`INSERT INTO credit_entries (workspace_id, time, event_id, type, grant_id, credits_micro, class, priority, effective_at, expires_at, kafka_time, epoch, kpart, koff)
		VALUES (?, ?, ?, 'credits.granted', ?, ?, 'paid', 100, ?, ?, ?, 1, ?, ?)`,
		workspace, from, "ev-"+id, id, int64(credits), from, to, r.clock(), uint16(schemas.Partition([]byte(workspace), 4)), uint64(r.inserted))
}

func (r *rig) campaign(workspace, id, status string, at time.Time, quota *int64, endsAt *time.Time) {
	r.t.Helper()
	r.inserted++
	r.exec(`INSERT INTO campaigns (workspace_id, campaign_id, time, event_id, name, status, quota_micro, ends_at, kafka_time, epoch, kpart, koff)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)`, workspace, id, at, fmt.Sprintf("s%d", r.inserted), "Name of "+id, status, quota, endsAt,
		r.clock(), uint16(schemas.Partition([]byte(workspace), 4)), uint64(r.inserted))
}

// counted says that everything is, up to now.
func (r *rig) counted() {
	r.t.Helper()
	r.countedIn(0, 1, 2, 3)
}

// countedIn says so of some partitions.
func (r *rig) countedIn(parts ...int) {
	r.t.Helper()
	r.countedAt(r.clock(), parts...)
}

// countedTo says so up to a watermark.
func (r *rig) countedTo(watermark time.Time) {
	r.t.Helper()
	r.countedAt(watermark, 0, 1, 2, 3)
}

func (r *rig) countedAt(now time.Time, parts ...int) {
	r.t.Helper()
	r.inserted++ // an offset without a row
	var rows []string
	var args []any
	for _, topic := range r.broker.Topics.Inputs() {
		for _, part := range parts {
			rows = append(rows, "(?, 1, ?, ?, ?, ?)")
			args = append(args, topic, uint16(part), uint64(r.inserted)+1, now, now)
		}
	}
	r.exec("INSERT INTO ingest_progress (topic, epoch, kpart, next_offset, watermark, at) VALUES "+strings.Join(rows, ", "), args...)
}

type projected struct {
	method        string
	used, mean    float64
	p10, p50, p90 float64
	at            time.Time
	quotaAt       *time.Time
	watermark     time.Time
	curve         []float64
}

func (r *rig) projections(workspace string) map[string]projected {
	r.t.Helper()
	rows, err := r.conn.Query(context.Background(), `
SELECT campaign_id, method, used_micro, mean_micro, p10_micro, p50_micro, p90_micro, at, quota_exhausts_at, watermark, curve_mean
FROM campaign_projections FINAL WHERE workspace_id = ?`, workspace)
	if err != nil {
		r.t.Fatal(err)
	}
	found := make(map[string]projected)
	for rows.Next() {
		var (
			id                        string
			p                         projected
			used, mean, p10, p50, p90 big.Int
		)
		if err := rows.Scan(&id, &p.method, &used, &mean, &p10, &p50, &p90, &p.at, &p.quotaAt, &p.watermark, &p.curve); err != nil {
			r.t.Fatal(err)
		}
		credits := func(b *big.Int) float64 { f, _ := new(big.Float).SetInt(b).Float64(); return f / 1e6 }
		p.used, p.mean, p.p10, p.p50, p.p90 = credits(&used), credits(&mean), credits(&p10), credits(&p50), credits(&p90)
		found[id] = p
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	return found
}

// steady is use of so many credits in every hour of the last weeks.
func (r *rig) steady(workspace, campaign string, perHour schemas.Credits, from, to time.Time) {
	var events []event
	for at := from.Truncate(time.Hour); at.Before(to); at = at.Add(time.Hour) {
		events = append(events, event{workspace, campaign, at.Add(10 * time.Minute), perHour})
	}
	r.insert(events...)
}

// TestProjectionsFollowWhatIsCounted: campaigns are projected to the end of
// their periods, paused ones to what they used, and all of them add up to the
// workspace.
func TestProjectionsFollowWhatIsCounted(t *testing.T) {
	r := newRig(t)
	now := r.clock()
	weeks := now.AddDate(0, 0, -28)
	expires := now.Truncate(time.Hour).AddDate(0, 0, 10)
	ends := now.Truncate(time.Hour).AddDate(0, 0, 4)
	quota := int64(4_000_000_000)
	// The period begins after each campaign's first event, amid a quarter.
	r.grant("ws_a", "g1", 100_000_000_000, weeks.Truncate(time.Hour).Add(11*time.Minute), &expires)
	r.insert(event{"ws_a", "", weeks.Truncate(time.Hour).Add(12 * time.Minute), 7_000_000})
	r.steady("ws_a", "cmp_on", 5_000_000, weeks, now)
	r.steady("ws_a", "cmp_ends", 2_000_000, weeks, now)
	r.steady("ws_a", "cmp_paused", 3_000_000, weeks, now.AddDate(0, 0, -7))
	r.steady("ws_a", "", 1_000_000, weeks, now)
	r.campaign("ws_a", "cmp_on", "ACTIVE", weeks, &quota, nil)
	r.campaign("ws_a", "cmp_ends", "ACTIVE", weeks, nil, &ends)
	r.campaign("ws_a", "cmp_paused", "ACTIVE", weeks, nil, nil)
	r.campaign("ws_a", "cmp_paused", "PAUSED", now.AddDate(0, 0, -7), nil, nil)
	r.counted()
	r.start()

	var got map[string]projected
	eventually(t, "projections", func() bool {
		got = r.projections("ws_a")
		return len(got) == 6
	})
	hours := func(to time.Time) float64 { return to.Sub(now).Hours() }
	for _, c := range []struct {
		id            string
		used, perHour float64
		at            time.Time
	}{
		{"cmp_on", 5 * 673, 5, expires},
		{"cmp_ends", 2 * 673, 2, ends},
		{"", 673 + 7, 1, expires},
		{"cmp_paused", 3 * 505, 0, expires},
	} {
		p := got[c.id]
		want := c.used + c.perHour*hours(c.at)
		if p.used != c.used || !p.at.Equal(c.at) || !p.watermark.Equal(now) {
			t.Errorf("%q: used %v by %v to %v, want %v to %v", c.id, p.used, p.watermark, p.at, c.used, c.at)
		}
		if math.Abs(p.p50-want) > 0.03*want || p.p10 > p.p50 || p.p50 > p.p90 || p.p10 < p.used {
			t.Errorf("%q: %v < %v < %v, want about %v", c.id, p.p10, p.p50, p.p90, want)
		}
	}
	if p := got["cmp_paused"]; p.p10 != p.used || p.p90 != p.used {
		t.Errorf("a paused campaign is projected to %v..%v, it used %v", p.p10, p.p90, p.used)
	}
	reached := now.Add(time.Duration((4000.0 - 5*673) / 5 * float64(time.Hour)))
	if p := got["cmp_on"]; p.quotaAt == nil || p.quotaAt.Sub(reached).Abs() > 6*time.Hour {
		t.Errorf("the quota is reached at %v, want about %v", p.quotaAt, reached)
	}
	if got, want := got["*"].used, 5*672+2*672+3*504+672+7.0; got != want {
		t.Errorf("the workspace used %v in its period, want %v", got, want)
	}
	// What ends before counts as much as it will have used by then.
	sum := 0.0
	for id, p := range got {
		if id != "*" {
			sum += p.mean - p.used
		}
	}
	if whole := got["*"]; math.Abs(whole.mean-whole.used-sum) > 1e-3*sum {
		t.Errorf("campaigns add up to %v, the workspace to %v", sum, whole.mean-whole.used)
	}

	// More is counted, and a new campaign begins.
	r.mu.Lock()
	r.now = now.Add(time.Minute)
	r.mu.Unlock()
	r.insert(event{"ws_a", "cmp_on", now.Add(10 * time.Second), 50_000_000}, event{"ws_b", "cmp_new", now, 1_000_000})
	r.steady("ws_a", "cmp_late", 4_000_000, weeks, now) // an import
	r.campaign("ws_a", "cmp_late", "ACTIVE", weeks, nil, nil)
	r.counted()
	eventually(t, "what was counted since", func() bool {
		a, b := r.projections("ws_a"), r.projections("ws_b")
		return a["cmp_on"].used == 5*673+50 && b["cmp_new"].used == 1 && b["cmp_new"].method == "insufficient_data" &&
			a["cmp_late"].method == "seasonal" && a["cmp_late"].used == 4*673
	})
}

// TestHoursWithoutUseAreKept: use is projected from the hours in which it was,
// whatever hours without any are between: of a pause, or of every day.
func TestHoursWithoutUseAreKept(t *testing.T) {
	r := newRig(t)
	now := r.clock()
	weeks, full := now.AddDate(0, 0, -28), now.Truncate(time.Hour)
	paused, resumed := full.AddDate(0, 0, -9), full.AddDate(0, 0, -3)
	inDays, inHours := full.AddDate(0, 0, 14), full.Add(8*time.Hour)
	r.steady("ws_a", "cmp_back", 5_000_000, weeks, paused)
	r.steady("ws_a", "cmp_back", 5_000_000, resumed, now)
	r.campaign("ws_a", "cmp_back", "ACTIVE", weeks, nil, &inDays)
	r.campaign("ws_a", "cmp_back", "PAUSED", paused, nil, &inDays)
	r.campaign("ws_a", "cmp_back", "ACTIVE", resumed, nil, &inDays)
	for night := full.AddDate(0, 0, -28).Truncate(24 * time.Hour); night.Before(now); night = night.AddDate(0, 0, 1) {
		for _, id := range []string{"cmp_night", "cmp_nights"} {
			r.steady("ws_a", id, 12_000_000, night, night.Add(6*time.Hour))
		}
	}
	r.campaign("ws_a", "cmp_night", "ACTIVE", weeks, nil, &inHours)
	r.campaign("ws_a", "cmp_nights", "ACTIVE", weeks, nil, &inDays)
	r.counted()
	r.start()

	var got map[string]projected
	eventually(t, "projections", func() bool {
		got = r.projections("ws_a")
		return len(got) == 5
	})
	for id, want := range map[string]float64{"cmp_back": 14 * 24 * 5, "cmp_night": 0, "cmp_nights": 14 * 6 * 12} {
		if p := got[id]; math.Abs(p.mean-p.used-want) > 0.03*want+0.5 || math.Abs(p.p50-p.used-want) > 0.03*want+0.5 {
			t.Errorf("%s: %v (p50 %v) more will be used, want %v", id, p.mean-p.used, p.p50-p.used, want)
		}
	}
}

// TestPartitionsAreTakenOver: what one aggregator leaves, another looks after.
func TestPartitionsAreTakenOver(t *testing.T) {
	r := newRig(t)
	r.insert(event{"ws_a", "cmp_1", r.clock().Add(-time.Hour), 1_000_000})
	r.counted()
	first, stopFirst := r.start()
	eventually(t, "an owner", func() bool { return len(first.Owned()) == 4 })
	second, _ := r.start()
	eventually(t, "two owners", func() bool { return len(first.Owned()) == 2 && len(second.Owned()) == 2 })
	stopFirst()
	eventually(t, "the one that is left", func() bool { return len(second.Owned()) == 4 })
	if err := errors.Join(second.Live(t.Context()), second.Ready(t.Context())); err != nil {
		t.Error(err)
	}
	eventually(t, "projections", func() bool { return len(r.projections("ws_a")) > 0 })
}

// TestOneThatHasTroubleHoldsUpNoOther: of two partitions one cannot be looked at
// to the end, because a ledger in it makes no sense. What is counted late in the
// other is part of its projections all the same, and so are rules and
// projections of the workspaces beside the one that has the trouble.
func TestOneThatHasTroubleHoldsUpNoOther(t *testing.T) {
	r := newRig(t)
	now := r.clock()
	weeks := now.AddDate(0, 0, -28)
	bad, beside, other := "", "", ""
	for i := 0; bad == "" || beside == "" || other == ""; i++ {
		switch id := fmt.Sprintf("ws_%d", i); {
		case bad == "":
			bad = id
		case schemas.Partition([]byte(id), 4) == schemas.Partition([]byte(bad), 4):
			beside = id
		default:
			other = id
		}
	}
	r.grant(bad, "g1", 0, weeks.Truncate(time.Minute), nil) // no grant at all
	for _, id := range []string{beside, other} {
		r.grant(id, "g1", 1000_000_000, weeks.Truncate(time.Minute), nil)
		r.insert(event{id, "cmp_1", weeks, 950_000_000})
	}
	parts := []int{schemas.Partition([]byte(bad), 4), schemas.Partition([]byte(other), 4)}
	r.countedIn(parts...)
	a, _ := r.start()
	for _, id := range []string{beside, other} {
		eventually(t, "projections of "+id, func() bool { return len(r.projections(id)) > 0 })
		r.insert(event{id, "cmp_1", now, 10_000_000})
	}
	r.mu.Lock()
	r.now = now.Add(time.Minute)
	r.mu.Unlock()
	r.steady(other, "cmp_late", 4_000_000, weeks, now) // an import
	r.countedIn(parts...)
	for _, id := range []string{beside, other} {
		eventually(t, "an alert of "+id, func() bool { return fmt.Sprint(r.states(id, "default-balance")) == "[1 firing]" })
	}
	eventually(t, "all hours of what came late", func() bool {
		late := r.projections(other)["cmp_late"]
		return late.method == "seasonal" && late.used == 4*673
	})
	r.mu.Lock()
	r.now = r.now.Add(2 * time.Minute)
	r.mu.Unlock()
	eventually(t, "that it is not ready", func() bool { return a.Ready(t.Context()) != nil })
	if err := a.Live(t.Context()); err != nil {
		t.Errorf("what has trouble is not dead: %v", err)
	}
}

// neighbours are workspaces of one partition.
func neighbours(n int) (ids []string) {
	for i := 0; len(ids) < n; i++ {
		if id := fmt.Sprintf("ws_%d", i); schemas.Partition([]byte(id), 4) == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// TestProjectionsAreWrittenTogether: those of many workspaces are one INSERT,
// and one that failed is made up for by the next refresh, for all of them,
// though nothing more was counted.
func TestProjectionsAreWrittenTogether(t *testing.T) {
	r := newRig(t)
	var inserts atomic.Int32
	r.before = func(statement string) error {
		if strings.Contains(statement, "INSERT INTO campaign_projections") && inserts.Add(1) == 1 {
			return errors.New("the store is out of order")
		}
		return nil
	}
	ids := neighbours(5)
	for _, id := range ids {
		r.insert(event{id, "cmp_1", r.clock().Add(-time.Hour), 1_000_000})
	}
	r.counted()
	r.start()
	eventually(t, "the failed INSERT", func() bool { return inserts.Load() == 1 })
	r.pass(31 * time.Second)
	for _, id := range ids {
		eventually(t, "projections of "+id, func() bool { return len(r.projections(id)) > 0 })
	}
	if got := inserts.Load(); got != 2 {
		t.Errorf("%d INSERTs, want one that failed and one", got)
	}
}

// TestHoursThatCannotBeReadHoldUpNoOther: of many workspaces that are read
// together one makes the store refuse. The others are projected all the same,
// and that one as soon as it can be read.
func TestHoursThatCannotBeReadHoldUpNoOther(t *testing.T) {
	r := newRig(t)
	var read atomic.Int32
	r.before = func(statement string) error {
		if strings.Contains(statement, "sumResample") {
			read.Add(1)
		}
		return nil
	}
	ids := neighbours(11)
	bad := ids[7]
	for _, id := range ids {
		r.insert(event{id, "cmp_1", r.clock().Add(-time.Hour), 1_000_000})
	}
	r.exec("RENAME TABLE usage_15m TO usage_15m_kept")
	r.exec(fmt.Sprintf(`CREATE VIEW usage_15m AS SELECT workspace_id, bucket, campaign_id, action,
		credits_micro + toInt128(throwIf(workspace_id = '%s', 'it is broken')) AS credits_micro, refunds_micro, events FROM usage_15m_kept`, bad))
	r.counted()
	r.start()
	for _, id := range ids {
		if id != bad {
			eventually(t, "projections of "+id, func() bool { return len(r.projections(id)) > 0 })
		}
	}
	if got := r.projections(bad); len(got) > 0 {
		t.Errorf("what cannot be read is projected: %v", got)
	}
	// 11, 6, 3, 2 and 1 fail at the first of 8 weeks; 5, 3, 1 and 1 do not.
	if got := read.Load(); got > 5+4*8 {
		t.Errorf("%d statements", got)
	}
	r.exec("DROP VIEW usage_15m")
	r.exec("RENAME TABLE usage_15m_kept TO usage_15m")
	r.pass(31 * time.Second)
	eventually(t, "projections of the one that was broken", func() bool { return len(r.projections(bad)) > 0 })
}

// TestWhatIsSaidOfOneWorkspaceConcernsNoOther: only those are projected anew of
// whose campaigns something was said that was not so before. The log says once
// that the first projections begin, and that they end.
func TestWhatIsSaidOfOneWorkspaceConcernsNoOther(t *testing.T) {
	r := newRig(t)
	begin := r.clock().AddDate(0, 0, -3)
	quota := int64(100_000_000)
	ids := neighbours(4)
	for _, id := range ids {
		r.campaign(id, "cmp_1", "ACTIVE", begin, &quota, nil)
	}
	r.counted()
	r.start()
	watermarks := func(id string) time.Time { return r.projections(id)["cmp_1"].watermark }
	before := r.clock()
	for _, id := range ids {
		eventually(t, "projections of "+id, func() bool { return watermarks(id).Equal(before) })
	}
	more := 2 * quota
	r.campaign(ids[0], "cmp_1", "ACTIVE", r.clock(), &more, nil)
	r.campaign(ids[1], "cmp_1", "ACTIVE", r.clock(), &quota, nil)
	r.campaign(ids[2], "cmp_1", "PAUSED", r.clock(), &quota, nil)
	r.pass(time.Minute)
	for _, id := range []string{ids[0], ids[2]} {
		eventually(t, "projections of "+id, func() bool { return watermarks(id).After(before) })
	}
	for _, id := range []string{ids[1], ids[3]} {
		if got := watermarks(id); !got.Equal(before) {
			t.Errorf("%s was projected at %v, though nothing was said", id, got)
		}
	}
	for _, line := range []string{"first projections begin", "first projections end"} {
		r.mu.Lock()
		said := strings.Count(r.log.String(), line)
		r.mu.Unlock()
		if said != 1 {
			t.Errorf("the log says %d times: %s", said, line)
		}
	}
}
