package queryapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/queryapi"
)

// TestAnswersAreKeptUnderWhatWasRead: two parsers read a query, and what one
// of them drops may decide what the answer is.
func TestAnswersAreKeptUnderWhatWasRead(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	h.insert(event{"ws_a", "cmp_1", "x", h.now.Add(-time.Hour), 1})
	h.campaign("ws_a", "cmp_1", "One", "ACTIVE", h.now, nil)
	h.progress("ws_a", 1, h.now)
	const list = "/v1/workspaces/ws_a/campaigns"
	for _, c := range []struct{ odd, plain string }{
		{list + "?q=nothing;", list},
		{list + "?q=nothing&limit=5;", list + "?q="},
		{list + "?q", list + "?q="},
		{list + "?q=true&limit=%zz", list + "?q=true"},
		{"/v1/workspaces/ws%5Fa/campaigns?q=nothing", list + "?q="},
	} {
		kept, _ := keeping(h, 1<<20)
		h.doOn(kept, http.MethodGet, c.odd)
		want, got := h.do(http.MethodGet, c.plain), h.doOn(kept, http.MethodGet, c.plain)
		if want.status != http.StatusOK || string(got.body) != string(want.body) {
			t.Errorf("%s after %s: %d %s\nwant %d %s", c.plain, c.odd, got.status, got.body, want.status, want.body)
		}
	}
	for _, query := range []string{"?q=a;b", "?q=%zz", "?q", "?limit=5&;"} {
		if r := h.do(http.MethodGet, list+query); r.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
}

// TestProgressIsReadAgainWhenTheClockWasSetBack: else nothing new would be seen
// until the clock is where it was.
func TestProgressIsReadAgainWhenTheClockWasSetBack(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	server := h.serverWith(func(c *queryapi.Config) {
		c.CacheBytes, c.ProgressAge, c.Registerer = 1<<20, 100*time.Millisecond, prometheus.NewRegistry()
	})
	h.insert(event{"ws_a", "cmp_1", "x", h.now.Add(-2 * time.Hour), 1})
	h.progress("ws_a", 1, h.now)
	revision := func() (body struct{ Revision uint64 }) {
		r := h.doOn(server, http.MethodGet, "/v1/workspaces/ws_a/balance")
		if err := json.Unmarshal(r.body, &body); err != nil {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return body
	}
	before := revision()
	h.now = h.now.Add(-time.Hour)
	h.progress("ws_a", 2, h.now)
	if after := revision(); after.Revision <= before.Revision {
		t.Errorf("revision %d after %d: what was counted since is not seen", after.Revision, before.Revision)
	}
}

// TestProblemsThatAreSharedNameEachRequest: who asks the same at the same time
// shares the work, and an error with it.
func TestProblemsThatAreSharedNameEachRequest(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	kept, _ := keeping(h, 1<<20)
	h.insert(event{"ws_a", "cmp_1", "x", h.now.Add(-time.Hour), 1})
	h.progress("ws_a", 1, h.now)
	for round := range 10 {
		target := fmt.Sprintf("/v1/workspaces/ws_a/usage?bucket=1m&from=2026-11-01T00:%02d:00Z&to=2026-11-03T00:00:00Z", round)
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				request := httptest.NewRequest(http.MethodGet, target, nil)
				request.Header.Set("Authorization", "Bearer "+testToken)
				request.Header.Set("X-Request-Id", fmt.Sprint("request-", i))
				recorder := httptest.NewRecorder()
				kept.Handler().ServeHTTP(recorder, request)
				var p queryapi.Problem
				if err := json.Unmarshal(recorder.Body.Bytes(), &p); err != nil || p.Code != queryapi.CodeTooManyPoints || p.RequestID != fmt.Sprint("request-", i) {
					t.Errorf("request-%d: %s", i, recorder.Body)
				}
			})
		}
		group.Wait()
	}
}

// TestWhatALaggingReplicaAnsweredDoesNotStand: a replica says how far a
// partition is before it has the grant and the state that were counted there,
// and nothing else comes for hours.
func TestWhatALaggingReplicaAnsweredDoesNotStand(t *testing.T) {
	t.Parallel()
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	kept, asked := keeping(h, 1<<20)
	h.insert(event{"ws_a", "cmp_1", "x", h.now.Add(-time.Hour), 1_000_000})
	h.progress("ws_a", 2, h.now)
	read := func() (remaining string, name *string) {
		t.Helper()
		var balance struct{ Remaining string }
		var campaign queryapi.CampaignDetail
		for target, body := range map[string]any{"/v1/workspaces/ws_a/balance": &balance, "/v1/workspaces/ws_a/campaigns/cmp_1": &campaign} {
			if r := h.doOn(kept, http.MethodGet, target); r.status != http.StatusOK || json.Unmarshal(r.body, body) != nil {
				t.Fatalf("%s: %d %s", target, r.status, r.body)
			}
		}
		return balance.Remaining, campaign.Name
	}
	if remaining, name := read(); remaining != "-1" || name != nil {
		t.Fatalf("%s %v", remaining, name)
	}
	// Now it has them; where it is does not change.
	h.grant("ws_a", "g1", 5_000_000, h.now.Add(-2*time.Hour), nil)
	h.campaign("ws_a", "cmp_1", "One", "ACTIVE", h.now.Add(-2*time.Hour), nil)
	h.now = h.now.Add(time.Minute)
	if remaining, name := read(); remaining != "4" || name == nil || *name != "One" {
		t.Errorf("a minute later %s is left, and the campaign is %v", remaining, name)
	}
	// From then on nothing of it is read again.
	of := func(read func()) uint64 {
		before := asked()
		read()
		return asked() - before
	}
	h.now = h.now.Add(time.Minute)
	second := of(func() { read() })
	h.now = h.now.Add(time.Hour)
	if third := of(func() { read() }); third != second {
		t.Errorf("%d statements an hour later, %d before", third, second)
	}
	h.exec("TRUNCATE TABLE credit_entries")
	h.now = h.now.Add(time.Minute)
	if remaining, _ := read(); remaining != "4" {
		t.Errorf("the ledger was read again: %s", remaining)
	}
}
