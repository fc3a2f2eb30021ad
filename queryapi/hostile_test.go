package queryapi_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// hostileVariable sets how many requests TestHostileRequests sends, and
// hostileSeed which.
const (
	hostileVariable = "HOSTILE_REQUESTS"
	hostileSeed     = "HOSTILE_SEED"
	// hostileDefault takes about 15 s on two busy cores.
	hostileDefault = 1000
	// hostileWithin is what no request may take, on a machine that does much
	// else: below the request timeout, past which it would be a 503.
	hostileWithin = 15 * time.Second
)

func setting(t testing.TB, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// hostileWorld fills workspaces with what is hard: sums beyond 64 bits, ids of
// every character, thousands of campaigns, actions of any text, none of it.
func hostileWorld(w *writer) (workspaces, campaigns []string) {
	now := w.now.Truncate(time.Minute)
	campaigns = []string{"", "cmp_1", "a.b:c-d_e", "....", ":", "--", strings.Repeat("Z", 128), "cmp_2"}
	for i := range 400 {
		w.insert(event{"ws_rich", campaigns[i%len(campaigns)], hostileTexts[i%len(hostileTexts)], now.Add(-time.Duration(i*i) * time.Second), schemas.Credits((i%7 - 2) * 1_500_001)})
	}
	for i, status := range []string{"ACTIVE", "PAUSED", "COMPLETED", "DRAFT"} {
		quota := schemas.Credits(i * 1_000_000)
		w.campaign("ws_rich", campaigns[i+1], "Name \x01 💳 '\"\\ "+status, status, now.Add(-time.Hour), &quota)
	}
	expires := now.Add(20 * 24 * time.Hour)
	for i := range 6 {
		w.grant("ws_rich", fmt.Sprint("grant_", i), 1_000_000_000_000_000_000, now.AddDate(0, -i, 0), &expires)
	}
	// 10^32 micro-credits in a row: three rows are past 64 bits 10^13 times.
	w.exec(fmt.Sprintf(`INSERT INTO usage_1m SELECT 'ws_huge', toDateTime(%d, 'UTC') - number * 3607, concat('cmp_', toString(number %% 3)), 'x',
		toInt128('100000000000000000000000000000000') * if(number %% 5 = 0, -1, 1), toInt128('100000000000000000000000000000000') * if(number %% 5 = 0, 1, 0), 1000000000000
		FROM numbers(3000)`, now.Unix()))
	w.grant("ws_huge", "grant_1", 1_000_000_000_000_000_000, now.AddDate(0, -1, 0), nil)
	w.exec(fmt.Sprintf(`INSERT INTO events (workspace_id, time, event_id, campaign_id, action, credits_micro, kafka_time, koff)
		SELECT 'ws_many', toDateTime64(%d, 3, 'UTC') - number * 7.003, concat('m', toString(number)), concat('c', toString(number %% 3000)), toString(number), 1000001, now64(3), 100000 + number
		FROM numbers(6000)`, now.Unix()))
	w.exec(`INSERT INTO workspaces (workspace_id, time, event_id, name, time_zone, week_start) VALUES ('ws_empty', ?, 'w1', 'Empty', 'America/Havana', 'sunday')`, now)
	w.exec(`INSERT INTO events (workspace_id, time, event_id, campaign_id, action, credits_micro, kafka_time, koff) VALUES
		('ws_edge', toDateTime64('2000-01-01 00:00:00.000', 3, 'UTC'), 'x1', 'cmp_1', '', 1, now64(3), 200001),
		('ws_edge', toDateTime64('2099-12-31 23:59:59.999', 3, 'UTC'), 'x2', 'cmp_1', '', 9000000000000, now64(3), 200002)`)
	return []string{"ws_rich", "ws_rich", "ws_huge", "ws_many", "ws_empty", "ws_edge", "ws_unknown", strings.Repeat("w", 128)}, append(campaigns, "cmp_0", "c17", "unknown")
}

// TestHostileRequestsAreAnsweredAsDocumented sends requests that are made of
// the document, right and wrong: no answer is a 5xx or anything that the
// document does not have, and none takes long. HOSTILE_REQUESTS=20000 sends
// more than the usual number, HOSTILE_SEED others.
func TestHostileRequestsAreAnsweredAsDocumented(t *testing.T) {
	requests, seed := setting(t, hostileVariable, hostileDefault), setting(t, hostileSeed, 1)
	if testing.Short() {
		requests /= 10
	}
	w := newWriter(t)
	g := newGenerator(document(t))
	g.workspaces, g.campaigns = hostileWorld(w)
	t.Logf("seed %d, %d requests over %d operations", seed, requests, len(g.operations))

	type timed struct {
		took    time.Duration
		request hostileRequest
	}
	var (
		next     atomic.Int64
		mu       sync.Mutex
		slowest  []timed
		statuses = map[int]int{}
		group    sync.WaitGroup
	)
	for range 4 {
		group.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(requests) {
					return
				}
				request := g.request(rand.New(rand.NewPCG(uint64(seed), uint64(i))))
				begin := time.Now()
				answer, sent := w.send(request)
				took := time.Since(begin)
				if !sent {
					continue
				}
				g.learn(answer)
				if answer.status >= 500 {
					t.Errorf("request %d: %s: %d %.500s", i, request, answer.status, answer.body)
				}
				if took > hostileWithin {
					t.Errorf("request %d: %s: took %v", i, request, took)
				}
				mu.Lock()
				statuses[answer.status]++
				slowest = append(slowest, timed{took, request})
				slices.SortFunc(slowest, func(a, b timed) int { return cmp.Compare(b.took, a.took) })
				slowest = slowest[:min(len(slowest), 5)]
				mu.Unlock()
			}
		})
	}
	group.Wait()
	t.Logf("statuses: %v", statuses)
	for _, s := range slowest {
		t.Logf("%v: %.200s", s.took.Round(time.Millisecond), s.request)
	}
	if statuses[200] < requests/10 || statuses[422] < requests/20 {
		t.Errorf("the generator makes too few right or too few wrong requests: %v", statuses)
	}
	if t.Failed() {
		log := w.log.String()
		t.Logf("log: %s", log[max(0, len(log)-20_000):])
	}
}

// send sends one and holds the answer to the document; false if no server
// would have got the request from net/http.
func (w *writer) send(request hostileRequest) (response, bool) {
	w.t.Helper()
	address, err := url.ParseRequestURI(request.target)
	if err != nil {
		return response{}, false
	}
	ctx := w.t.Context()
	if request.stream() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
	}
	var body io.Reader
	if request.body != "" {
		body = strings.NewReader(request.body)
	}
	r := httptest.NewRequest(http.MethodPost, "/", body).WithContext(ctx)
	r.Method, r.URL, r.RequestURI = request.method, address, request.target
	r.Header.Set("Authorization", "Bearer "+testToken)
	for _, header := range request.headers {
		r.Header.Set(header[0], header[1])
	}
	recorder := httptest.NewRecorder()
	w.server.Handler().ServeHTTP(recorder, r)
	answer := response{recorder.Code, recorder.Result().Header, recorder.Body.Bytes()}
	if request.stream() && ctx.Err() != nil && (answer.status != http.StatusOK || answer.header.Get("Content-Type") == "") {
		return answer, false // the caller went away before the stream began
	}
	w.hold(request.method, request.target, answer)
	return answer, true
}
