package queryapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
	_ "time/tzdata" // zones in tests do not depend on the machine

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/internal/contracttest"
	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const (
	testToken      = "test-token"
	testPartitions = 4
	testEpoch      = 1
)

// harness is an API over a database of its own, at an instant of its own.
type harness struct {
	t        testing.TB
	conn     driver.Conn
	store    queryapi.StoreHTTP
	server   *queryapi.Server
	registry *prometheus.Registry
	log      *bytes.Buffer
	now      time.Time
	inserted int // events so far: no two inserts may be equal, or the second is a retry
}

// newHarness makes one whose clock stands still.
func newHarness(t testing.TB, now time.Time) *harness {
	t.Helper()
	return newHarnessOn(t, storetest.ClickHouse(t), now)
}

func newHarnessOn(t testing.TB, db *storetest.Database, now time.Time) *harness {
	t.Helper()
	h := &harness{
		t: t, conn: db.Conn(t),
		store:    queryapi.StoreHTTP{URL: "http://" + db.HTTPAddr, User: db.User, Password: db.Password, Database: db.Name},
		registry: prometheus.NewRegistry(), log: &bytes.Buffer{}, now: now,
	}
	h.server = h.serverWith(func(*queryapi.Config) {})
	return h
}

// serverWith makes another server over the same database.
func (h *harness) serverWith(change func(*queryapi.Config)) *queryapi.Server {
	h.t.Helper()
	cfg := queryapi.Config{
		ClickHouse: h.conn, StoreHTTP: h.store, Token: testToken, Partitions: testPartitions, Epoch: testEpoch,
		Topics: schemas.DefaultTopics(), EventsTTL: schemas.DefaultEventsTTL(), Limits: schemas.DefaultLimits(),
		Now: func() time.Time { return h.now }, Log: slog.New(slog.NewJSONHandler(h.log, nil)), Registerer: h.registry,
	}
	change(&cfg)
	server, err := queryapi.New(cfg)
	if err != nil {
		h.t.Fatalf("cannot make the server: %v", err)
	}
	return server
}

func (h *harness) exec(statement string, args ...any) {
	h.t.Helper()
	if err := h.conn.Exec(context.Background(), statement, args...); err != nil {
		h.t.Fatalf("cannot run %q: %v", statement, err)
	}
}

// event is one row of events; the views fill the rollups.
type event struct {
	workspace, campaign, action string
	at                          time.Time
	credits                     schemas.Credits
}

func (h *harness) insert(events ...event) {
	h.t.Helper()
	batch, err := h.conn.PrepareBatch(context.Background(),
		"INSERT INTO events (workspace_id, time, event_id, campaign_id, action, credits_micro, kafka_time, koff)")
	if err != nil {
		h.t.Fatalf("cannot prepare: %v", err)
	}
	for _, e := range events {
		h.inserted++
		if err := batch.Append(e.workspace, e.at, fmt.Sprintf("e%d", h.inserted), e.campaign, e.action, int64(e.credits), e.at, uint64(h.inserted)); err != nil {
			h.t.Fatalf("cannot append: %v", err)
		}
	}
	if err := batch.Send(); err != nil {
		h.t.Fatalf("cannot insert: %v", err)
	}
}

// grant inserts a paid grant.
func (h *harness) grant(workspace, id string, credits schemas.Credits, effectiveAt time.Time, expiresAt *time.Time) {
	h.t.Helper()
	h.exec(`INSERT INTO credit_entries (workspace_id, time, event_id, type, grant_id, credits_micro, class, priority, effective_at, expires_at, koff)
		VALUES (?, ?, ?, 'credits.granted', ?, ?, 'paid', 100, ?, ?, 0)`,
		workspace, effectiveAt, "ev-"+id, id, int64(credits), effectiveAt, expiresAt)
}

// campaign inserts a state.
func (h *harness) campaign(workspace, id, name, status string, at time.Time, quota *schemas.Credits) {
	h.t.Helper()
	var micro *int64
	if quota != nil {
		micro = (*int64)(quota)
	}
	h.exec(`INSERT INTO campaigns (workspace_id, campaign_id, time, event_id, name, status, quota_micro) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		workspace, id, at, id+status+at.String(), name, status, micro)
}

// response is an answer.
type response struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request with the token.
func (h *harness) do(method, target string, headers ...string) response {
	return h.doOn(h.server, method, target, headers...)
}

func (h *harness) doOn(server *queryapi.Server, method, target string, headers ...string) response {
	h.t.Helper()
	request := httptest.NewRequest(method, target, nil)
	request.Header.Set("Authorization", "Bearer "+testToken)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	server.Handler().ServeHTTP(recorder, request)
	body, err := io.ReadAll(recorder.Body)
	if err != nil {
		h.t.Fatalf("cannot read the body: %v", err)
	}
	r := response{recorder.Code, recorder.Result().Header, body}
	h.hold(method, target, r)
	return r
}

// contract is the document that every answer is held to.
var contract = sync.OnceValues(func() (*contracttest.Contract, error) {
	document, err := queryapi.OpenAPI()
	if err != nil {
		return nil, err
	}
	return contracttest.New(document)
})

// hold fails the test if the document does not allow an answer.
func (h *harness) hold(method, target string, r response) {
	h.t.Helper()
	c, err := contract()
	if err == nil {
		err = c.Check(method, target, r.status, r.header, r.body)
	}
	if err != nil {
		h.t.Errorf("not as documented: %v", err)
	}
}

// get decodes a 200 answer into body.
func (h *harness) get(path string, query url.Values, body any) response {
	h.t.Helper()
	target := path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r := h.do(http.MethodGet, target)
	if r.status != http.StatusOK {
		h.t.Fatalf("GET %s: %d %s\nlog: %s", target, r.status, r.body, h.log)
	}
	if err := json.Unmarshal(r.body, body); err != nil {
		h.t.Fatalf("GET %s: %v in %s", target, err, r.body)
	}
	return r
}

// problemOf decodes an error and checks its shape.
func (h *harness) problemOf(r response) queryapi.Problem {
	h.t.Helper()
	var p queryapi.Problem
	if err := json.Unmarshal(r.body, &p); err != nil {
		h.t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		h.t.Errorf("content type %q of %s", got, r.body)
	}
	if p.Status != r.status || p.Code == "" || p.Title == "" || p.Type != "urn:drawdown:problem:"+string(p.Code) ||
		p.RequestID == "" || p.RequestID != r.header.Get("X-Request-Id") {
		h.t.Errorf("problem %+v of status %d", p, r.status)
	}
	return p
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.UTC()
}
