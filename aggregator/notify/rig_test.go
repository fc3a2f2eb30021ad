package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const testPartitions = 4

var testMaster = bytes.Repeat([]byte("master! "), 4)

// clock stands still until a test moves it.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now().Truncate(time.Millisecond)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// rig is a notifier over a database of its own.
type rig struct {
	t     *testing.T
	db    *storetest.Database
	conn  driver.Conn
	clock *clock
	log   *bytes.Buffer
	n     *Notifier
}

func newRig(t *testing.T, changes ...func(*Config)) *rig {
	t.Helper()
	db := storetest.ClickHouse(t)
	r := &rig{t: t, db: db, conn: db.Conn(t), clock: newClock(), log: new(bytes.Buffer)}
	r.n = r.notifier(changes...)
	return r
}

// notifier returns another one, as another process would have it.
func (r *rig) notifier(changes ...func(*Config)) *Notifier {
	r.t.Helper()
	cfg := Config{
		ClickHouse: r.conn, Partitions: testPartitions, Owned: func() []int { return []int{3, 1, 0, 2} },
		Secret: testMaster, BaseURL: "https://credits.test",
		AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true,
		Now: r.clock.now, Log: slog.New(slog.NewTextHandler(&lockedWriter{w: r.log}, &slog.HandlerOptions{Level: slog.LevelDebug})), Registerer: prometheus.NewRegistry(),
	}
	for _, change := range changes {
		change(&cfg)
	}
	n, err := New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(n.client.CloseIdleConnections)
	return n
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// step looks once and waits for what it started.
func (r *rig) step() { r.stepOf(r.n) }

func (r *rig) stepOf(n *Notifier) {
	r.t.Helper()
	if err := n.step(r.t.Context(), r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	n.workers.Wait()
}

// settle steps until nothing more happens at this instant.
func (r *rig) settle() {
	r.t.Helper()
	for before := -1; ; {
		r.step()
		now := len(r.deliveries())
		if now == before {
			return
		}
		before = now
	}
}

func (r *rig) exec(statement string, values ...any) {
	r.t.Helper()
	batch, err := r.conn.PrepareBatch(context.Background(), statement)
	if err == nil {
		err = batch.Append(values...)
	}
	if err == nil {
		err = batch.Send()
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

type testRule struct {
	workspace, id     string
	version           uint32
	webhooks          []map[string]string
	disabled, deleted bool
	secretVersion     uint32
	rotatedAt         *time.Time
	silencedUntil     *time.Time
	updatedAt         time.Time
}

func standard(url string) map[string]string {
	return map[string]string{"url": url, "format": "standard"}
}
func slack(url string) map[string]string { return map[string]string{"url": url, "format": "slack"} }

// rule writes a version of a rule, an hour before the clock unless it says.
func (r *rig) rule(rule testRule) {
	r.t.Helper()
	if rule.updatedAt.IsZero() {
		rule.updatedAt = r.clock.now().Add(-time.Hour)
	}
	webhooks, err := json.Marshal(rule.webhooks)
	if err != nil {
		r.t.Fatal(err)
	}
	flag := map[bool]uint8{true: 1}
	r.exec(`INSERT INTO alert_rules (workspace_id, rule_id, version, enabled, deleted, webhooks, secret_version, secret_rotated_at, silenced_until, updated_at)`,
		rule.workspace, rule.id, max(rule.version, 1), flag[!rule.disabled], flag[rule.deleted], string(webhooks), max(rule.secretVersion, 1), rule.rotatedAt, rule.silencedUntil, rule.updatedAt.UTC())
}

// incident records a state of an incident now.
func (r *rig) incident(workspace, ruleID, id, state string) {
	r.incidentAs(workspace, ruleID, id, state, `{"remaining":"1.5"}`)
}

func (r *rig) incidentAs(workspace, ruleID, id, state, detail string) {
	r.t.Helper()
	r.exec(`INSERT INTO alert_incidents (workspace_id, recorded_at, incident_id, state, rule_id, rule_revision, kind, subject, sequence, at, message, detail)`,
		workspace, r.clock.now().UTC(), id, state, ruleID, uint32(7), "balance_below", "cmp_7", uint32(1), r.clock.now().Add(-time.Second).UTC(), "A <b> & c", detail)
}

// row is what the tests look at of alert_deliveries.
type row struct {
	webhookID, destination, format, outcome, reason string
	attempt                                         uint16
	status                                          uint16
	version                                         uint32
}

// deliveries returns the log, in order.
func (r *rig) deliveries() []row {
	r.t.Helper()
	rows, err := r.conn.Query(context.Background(), `SELECT webhook_id, destination, format, outcome, error, attempt, status, rule_version FROM alert_deliveries ORDER BY at, webhook_id, destination, attempt`)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []row
	for rows.Next() {
		var w row
		if err := rows.Scan(&w.webhookID, &w.destination, &w.format, &w.outcome, &w.reason, &w.attempt, &w.status, &w.version); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, w)
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	return all
}

// outcomes returns the log of a message as words.
func (r *rig) outcomes(webhookID string) []string {
	r.t.Helper()
	var words []string
	for _, w := range r.deliveries() {
		if w.webhookID == webhookID {
			words = append(words, w.outcome)
		}
	}
	return words
}

func (r *rig) want(webhookID string, outcomes ...string) {
	r.t.Helper()
	if got := r.outcomes(webhookID); !slices.Equal(got, outcomes) {
		r.t.Errorf("%s: %q, want %q", webhookID, got, outcomes)
	}
}

// got is a request that a receiver got.
type got struct {
	id     string
	header http.Header
	body   []byte
}

// testReceiver is an HTTP server that notes what it gets.
type testReceiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []got
	answer func(g got, w http.ResponseWriter)
}

// newReceiver answers 204 unless told otherwise.
func newReceiver(t *testing.T, answer func(g got, w http.ResponseWriter)) *testReceiver {
	t.Helper()
	if answer == nil {
		answer = func(_ got, w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }
	}
	r := &testReceiver{answer: answer}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		g := got{request.Header.Get("webhook-id"), request.Header, body}
		r.mu.Lock()
		r.got = append(r.got, g)
		answer := r.answer
		r.mu.Unlock()
		answer(g, w)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *testReceiver) requests() []got {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *testReceiver) ids() []string {
	var ids []string
	for _, g := range r.requests() {
		ids = append(ids, g.id)
	}
	return ids
}

func (r *testReceiver) setAnswer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = func(_ got, w http.ResponseWriter) { w.WriteHeader(status) }
}

// verifier is what a receiver has: the library and the secret of a rule.
func verifier(t *testing.T, workspace, rule string, version uint32) *standardwebhooks.Webhook {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(schemas.WebhookSecret(testMaster, workspace, rule, version))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func name(prefix string, i int) string { return fmt.Sprintf("%s%03d", prefix, i) }
