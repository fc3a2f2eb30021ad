package queryapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/queryapi"
)

func TestEveryWrongParameterIsNamed(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.insert(event{"ws_a", "cmp_1", "", now.Add(-time.Hour), 1})
	const base = "/v1/workspaces/ws_a"
	for _, c := range []struct {
		target string
		code   queryapi.Code
		wrong  []string // locations
	}{
		{"/balance?as_of=2026-11-22T09:00:01Z", queryapi.CodeInvalidParameter, []string{"query.as_of"}},
		{"/balance?as_of=yesterday&asof=1", queryapi.CodeInvalidParameter, []string{"query.as_of", "query.asof"}},
		{"/balance?as_of=2026-11-22T09:01:00Z", queryapi.CodeUseProjection, []string{"query.as_of"}},
		{"/usage?from=x&to=y&bucket=2d&tz=Mars/Base&group_by=user&top=0&compare=next&colour=red", queryapi.CodeInvalidParameter,
			[]string{"query.bucket", "query.colour", "query.compare", "query.from", "query.group_by", "query.to", "query.top", "query.tz"}},
		{"/usage?tz=Local", queryapi.CodeInvalidParameter, []string{"query.tz"}},
		{"/usage?tz=../etc/passwd", queryapi.CodeInvalidParameter, []string{"query.tz"}},
		{"/usage?top=many", queryapi.CodeInvalidParameter, []string{"query.top"}},
		{"/usage?from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", queryapi.CodeInvalidParameter, []string{"query.to"}},
		{"/usage?from=2027-01-01T00:00:00Z", queryapi.CodeInvalidParameter, []string{"query.from"}},
		{"/usage?from=1999-11-01T00:00:00Z", queryapi.CodeInvalidParameter, []string{"query.from"}},
		{"/usage?from=2026-11-01T00:00:00", queryapi.CodeInvalidParameter, []string{"query.from"}},
		{"/usage?bucket=1d&bucket=1h", queryapi.CodeInvalidParameter, []string{"query.bucket"}},
		{"/usage?bucket=1m&from=2026-11-01T00:00:00Z&to=2026-11-03T00:00:00Z", queryapi.CodeTooManyPoints, []string{"query.bucket"}},
		{"/usage?from=2020-11-01T00:00:00.5Z&to=2020-12-01T00:00:00.5Z", queryapi.CodeResolutionUnavailable, []string{"query.from", "query.to"}},
		{"/campaigns?status=active&sort=size&order=up&limit=1001&cursor=!", queryapi.CodeInvalidParameter,
			[]string{"query.cursor", "query.limit", "query.order", "query.sort", "query.status"}},
		{"/campaigns?limit=0", queryapi.CodeInvalidParameter, []string{"query.limit"}},
		{"/history?view=all&type=grant,gift&tz=Mars/Base&from=x&limit=1001&cursor=!&page=2", queryapi.CodeInvalidParameter,
			[]string{"query.cursor", "query.from", "query.limit", "query.page", "query.type[1]", "query.tz", "query.view"}},
		{"/history?from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", queryapi.CodeInvalidParameter, []string{"query.to"}},
		{"/history?type=grant&type=void", queryapi.CodeInvalidParameter, []string{"query.type"}},
		{"/projection?scale=NaN", queryapi.CodeInvalidParameter, []string{"query.scale"}},
		{"/projection?scale=Inf", queryapi.CodeInvalidParameter, []string{"query.scale"}},
		{"/projection?scale=-Inf", queryapi.CodeInvalidParameter, []string{"query.scale"}},
		{"/campaigns/cmp_1?bucket=x&q=1", queryapi.CodeInvalidParameter, []string{"query.bucket", "query.q"}},
	} {
		p := h.problemOf(h.do(http.MethodGet, base+c.target))
		var wrong []string
		for _, e := range p.Errors {
			wrong = append(wrong, e.Location)
		}
		slices.Sort(wrong)
		if p.Status != http.StatusUnprocessableEntity || p.Code != c.code || !slices.Equal(slices.Compact(wrong), c.wrong) {
			t.Errorf("%s: %+v, want %s for %v", c.target, p, c.code, c.wrong)
		}
	}
	if p := h.problemOf(h.do(http.MethodGet, "/v1/me?x=1")); p.Code != queryapi.CodeInvalidParameter || p.Errors[0].Location != "query.x" {
		t.Errorf("me: %+v", p)
	}
}

func TestEveryErrorIsAProblem(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.insert(event{"ws_a", "cmp_1", "", now.Add(-time.Hour), 1})
	for _, c := range []struct {
		method, target, token string
		status                int
		code                  queryapi.Code
	}{
		{"GET", "/v1/workspaces/ws_b/balance", testToken, 404, queryapi.CodeWorkspaceNotFound},
		{"GET", "/v1/workspaces/no%20id/usage", testToken, 404, queryapi.CodeWorkspaceNotFound},
		{"GET", "/v1/workspaces/a%27%20OR%201=1--/campaigns", testToken, 404, queryapi.CodeWorkspaceNotFound},
		{"GET", "/v1/workspaces/ws_a/nothing", testToken, 404, queryapi.CodeNotFound},
		{"GET", "/nothing", testToken, 404, queryapi.CodeNotFound},
		{"POST", "/v1/me", testToken, 405, queryapi.CodeMethodNotAllowed},
		{"DELETE", "/openapi.json", testToken, 405, queryapi.CodeMethodNotAllowed},
		{"GET", "/v1/me", "", 401, queryapi.CodeUnauthorized},
		{"GET", "/v1/workspaces/ws_a/balance", "wrong", 401, queryapi.CodeUnauthorized},
		{"GET", "/v1/workspaces/ws_a/balance?as_of=x", testToken + "x", 401, queryapi.CodeUnauthorized},
	} {
		r := h.do(c.method, c.target, "Authorization", "Bearer "+c.token)
		if p := h.problemOf(r); p.Status != c.status || p.Code != c.code {
			t.Errorf("%s %s: %+v, want %d %s", c.method, c.target, p, c.status, c.code)
		}
		if c.status == 401 && !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: WWW-Authenticate %q", c.target, r.header.Get("WWW-Authenticate"))
		}
		if c.status == 405 && !slices.Equal(r.header.Values("Allow"), []string{"GET", "HEAD"}) {
			t.Errorf("%s: Allow %q", c.target, r.header.Values("Allow"))
		}
		if r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", c.target, r.header.Get("Cache-Control"))
		}
	}
	for _, authorization := range []string{"", "Basic " + testToken, testToken, "Bearer"} {
		if p := h.problemOf(h.do(http.MethodGet, "/v1/me", "Authorization", authorization)); p.Code != queryapi.CodeUnauthorized {
			t.Errorf("%q: %+v", authorization, p)
		}
	}
}

func TestRateLimitIsAProblemWithRetryAfter(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.insert(event{"ws_a", "", "", now, 1})
	key := h.key("ws_a", `"credits:read"`)
	server := h.serverWith(func(c *queryapi.Config) { c.RateLimit, c.Registerer = 2, prometheus.NewRegistry() })
	ask := func(token string) response {
		return h.doOn(server, http.MethodGet, "/v1/me", "Authorization", "Bearer "+token)
	}
	for range 2 {
		if r := ask(key.Secret); r.status != http.StatusOK {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	r := ask(key.Secret)
	if p := h.problemOf(r); p.Code != queryapi.CodeRateLimited || r.header.Get("Retry-After") == "" {
		t.Errorf("%+v, Retry-After %q", p, r.header.Get("Retry-After"))
	}
	for range 5 {
		if r := ask(testToken); r.status != http.StatusOK {
			t.Errorf("the installation's own token: %d %s", r.status, r.body)
		}
	}
}

func TestStoreThatDoesNotAnswerIs503AndSaysNothingMore(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{dead}, DialTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	server := h.serverWith(func(c *queryapi.Config) { c.ClickHouse, c.Registerer = conn, prometheus.NewRegistry() })
	r := h.doOn(server, http.MethodGet, "/v1/workspaces/ws_a/balance")
	if p := h.problemOf(r); p.Code != queryapi.CodeStoreUnavailable || strings.Contains(string(r.body), dead) {
		t.Errorf("%d %s", r.status, r.body)
	}
	if log := h.log.String(); !strings.Contains(log, dead) || !strings.Contains(log, r.header.Get("X-Request-Id")) {
		t.Errorf("log %s", log)
	}
	if err := server.Check().Ready(t.Context()); err == nil {
		t.Error("ready")
	}
	if err := server.Check().Live(t.Context()); err != nil {
		t.Errorf("not alive: %v", err)
	}
	if err := h.server.Check().Ready(t.Context()); err != nil {
		t.Errorf("not ready: %v", err)
	}
}

func TestETagHoldsUntilFiguresChange(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.insert(event{"ws_a", "cmp_1", "", now.Add(-time.Hour), 1})
	for _, path := range []string{"balance", "usage", "campaigns", "campaigns/cmp_1"} {
		target := "/v1/workspaces/ws_a/" + path
		first := h.do(http.MethodGet, target)
		tag := first.header.Get("ETag")
		h.now = h.now.Add(100 * time.Millisecond) // freshness.at is another one
		again := h.do(http.MethodGet, target, "If-None-Match", `"other", `+tag)
		if first.status != 200 || tag == "" || again.status != http.StatusNotModified || len(again.body) != 0 || again.header.Get("ETag") != tag {
			t.Errorf("%s: %d with %q, then %d with %q, body %q", path, first.status, tag, again.status, again.header.Get("ETag"), again.body)
		}
		if got := first.header.Get("Cache-Control"); got != "private, no-cache" {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
		h.insert(event{"ws_a", "cmp_1", "", now.Add(-time.Hour), 1})
		if changed := h.do(http.MethodGet, target, "If-None-Match", tag); changed.status != 200 || changed.header.Get("ETag") == tag {
			t.Errorf("%s: %d with %q after a change of %q", path, changed.status, changed.header.Get("ETag"), tag)
		}
	}
}

func TestRequestIDAndHeadAndSafetyHeaders(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	if r := h.do(http.MethodGet, "/v1/me", "X-Request-Id", "abc-1"); r.header.Get("X-Request-Id") != "abc-1" {
		t.Errorf("request id %q", r.header.Get("X-Request-Id"))
	}
	r := h.do(http.MethodGet, "/v1/me", "X-Request-Id", "a b\t{}")
	if id := r.header.Get("X-Request-Id"); len(id) != 36 {
		t.Errorf("request id %q", id)
	}
	if r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", r.header)
	}
	if r := h.do(http.MethodHead, "/v1/me"); r.status != http.StatusOK {
		t.Errorf("HEAD: %d", r.status)
	}
}

func TestMeListsEveryWorkspaceThatACountedRecordNames(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.insert(event{"ws_used", "", "", now, 1})
	h.grant("ws_granted", "g", 1, now, nil)
	h.campaign("ws_campaign", "c", "n", "DRAFT", now, nil)
	for i, name := range []string{"Old", "Acme & Söhne"} {
		h.exec("INSERT INTO workspaces (workspace_id, time, name, koff) VALUES ('ws_named', ?, ?, ?)", now, name, uint64(i))
	}
	var got queryapi.Me
	h.get("/v1/me", nil, &got)
	var ids []string
	for _, w := range got.Workspaces {
		ids = append(ids, w.WorkspaceID)
		if len(w.Scopes) != 6 || (w.Name != nil) != (w.WorkspaceID == "ws_named") {
			t.Errorf("%+v", w)
		}
		var b queryapi.Balance
		h.get("/v1/workspaces/"+w.WorkspaceID+"/balance", nil, &b)
	}
	if !slices.Equal(ids, []string{"ws_campaign", "ws_granted", "ws_named", "ws_used"}) || *got.Workspaces[2].Name != "Acme & Söhne" {
		t.Errorf("%+v", got)
	}
}

func TestWorkspaceSettingsAreTheDefaults(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.exec("INSERT INTO workspaces (workspace_id, time, name, time_zone, week_start) VALUES ('ws_a', ?, 'A', 'Asia/Kolkata', 'sunday')", now)
	expires := at(t, "2026-12-15T00:00:00Z")
	h.grant("ws_a", "g", 1, at(t, "2026-10-15T00:00:00Z"), &expires)
	r := h.do(http.MethodGet, "/v1/workspaces/ws_a/usage?bucket=1w")
	var got queryapi.Usage
	if err := json.Unmarshal(r.body, &got); err != nil {
		t.Fatal(err)
	}
	points := got.Series[0].Points
	// Sunday, 18 October, in Kolkata.
	if got.TZ != "Asia/Kolkata" || got.From != "2026-10-15T00:00:00Z" || got.To != "2026-12-15T00:00:00Z" || points[1].Start != "2026-10-17T18:30:00Z" ||
		points[len(points)-1].End != "2026-11-22T09:01:00Z" {
		t.Errorf("%s", r.body)
	}
}

func TestOpenAPIDescribesEveryEndpoint(t *testing.T) {
	spec, err := queryapi.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Responses map[string]json.RawMessage `json:"responses"`
		} `json:"paths"`
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(spec, &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("version %q", doc.OpenAPI)
	}
	for _, path := range []string{
		"/v1/workspaces/{workspace_id}/balance", "/v1/workspaces/{workspace_id}/usage",
		"/v1/workspaces/{workspace_id}/campaigns", "/v1/workspaces/{workspace_id}/campaigns/{campaign_id}",
		"/v1/workspaces/{workspace_id}/live", "/v1/workspaces/{workspace_id}/rejections", "/v1/workspaces/{workspace_id}/export",
	} {
		for _, status := range []string{"200", "401", "403", "404", "422", "429", "500", "503"} {
			if _, ok := doc.Paths[path]["get"].Responses[status]; !ok {
				t.Errorf("%s has no %s", path, status)
			}
		}
	}
	for name, schema := range doc.Components.Schemas {
		text := string(schema)
		if name == "HistoryItem" { // its sources are null where nobody can say them
			text = strings.Replace(text, `"array","null"`, "", 1)
		}
		if strings.Contains(text, `"array","null"`) || strings.Contains(name, "Error") {
			t.Errorf("schema %s is %s", name, schema)
		}
	}
	// Every reference has its schema.
	for rest := string(spec); ; {
		_, after, found := strings.Cut(rest, `"#/components/schemas/`)
		if !found {
			break
		}
		name, tail, _ := strings.Cut(after, `"`)
		if _, ok := doc.Components.Schemas[name]; !ok {
			t.Errorf("no schema %s", name)
		}
		rest = tail
	}
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	if r := h.do(http.MethodGet, "/openapi.json", "Authorization", ""); r.status != 200 || string(r.body) != string(spec) {
		t.Errorf("served: %d, %d bytes of %d", r.status, len(r.body), len(spec))
	}
}

func TestRunServesUntilCancelledAndFinishesWhatIsInFlight(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.server.Run(ctx, listener) }()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+"/v1/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testToken)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("%d, %v", answer.StatusCode, err)
	}
	_ = answer.Body.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestOpsReportsEachCheckAndMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "drawdown_test_total", Help: "x"}))
	stuck := errors.New("no progress since noon")
	ops := queryapi.NewOps(registry, slog.New(slog.DiscardHandler),
		queryapi.Check{Name: "fine"},
		queryapi.Check{Name: "stuck", Live: func(context.Context) error { return stuck }})
	get := func(path string) (int, string) {
		recorder := httptest.NewRecorder()
		ops.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		return recorder.Code, recorder.Body.String()
	}
	if status, body := get("/readyz"); status != 200 || !strings.Contains(body, `{"name":"fine","ok":true}`) {
		t.Errorf("ready: %d %s", status, body)
	}
	if status, body := get("/healthz"); status != 503 || !strings.Contains(body, stuck.Error()) {
		t.Errorf("health: %d %s", status, body)
	}
	if status, body := get("/metrics"); status != 200 || !strings.Contains(body, "drawdown_test_total 0") {
		t.Errorf("metrics: %d %s", status, body)
	}
}

func TestNewRefusesWhatIsMissing(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	for name, cfg := range map[string]queryapi.Config{
		"nothing":       {},
		"no token":      {ClickHouse: h.conn, Partitions: 4, Now: time.Now, Log: slog.Default(), Registerer: prometheus.NewRegistry()},
		"no partitions": {ClickHouse: h.conn, Token: "t", Now: time.Now, Log: slog.Default(), Registerer: prometheus.NewRegistry()},
		"no clock":      {ClickHouse: h.conn, Token: "t", Partitions: 4, Log: slog.Default(), Registerer: prometheus.NewRegistry()},
	} {
		if _, err := queryapi.New(cfg); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}
