package queryapi_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/queryapi"
)

// keeping is a server that keeps answers, over the harness's database, and the
// number of figures it has asked ClickHouse for.
func keeping(h *harness, bytes int) (*queryapi.Server, func() uint64) {
	registry := prometheus.NewRegistry()
	server := h.serverWith(func(c *queryapi.Config) { c.CacheBytes, c.Registerer = bytes, registry })
	return server, func() (asked uint64) {
		h.t.Helper()
		families, err := registry.Gather()
		if err != nil {
			h.t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() != "drawdown_queryapi_query_seconds" {
				continue
			}
			for _, m := range family.GetMetric() {
				for _, label := range m.GetLabel() {
					if label.GetName() == "query" && label.GetValue() != "freshness" && label.GetValue() != "exists" {
						asked += m.GetHistogram().GetSampleCount()
					}
				}
			}
		}
		return asked
	}
}

var figurePaths = []string{
	"balance", "balance?as_of=2026-11-22T08:00:00Z", "usage", "usage?group_by=campaign&bucket=15m&from=2026-11-22T00:00:00Z&to=2026-11-23T00:00:00Z",
	"usage?bucket=1h&from=2026-11-22T00:00:00Z&to=2026-11-22T09:00:00.250Z", "campaigns", "campaigns?sort=name&limit=1", "campaigns/cmp_1",
	"history", "history?view=events&limit=2", "history?view=events&from=2026-11-22T00:00:00.250Z&campaign_id=cmp_1",
}

// TestKeptAnswersAreThoseThatWouldBeMade: whatever is counted, whenever it is
// asked, a server that keeps answers says what one says that does not.
func TestKeptAnswersAreThoseThatWouldBeMade(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:00Z"))
	kept, asked := keeping(h, 1<<20)
	h.insert(event{"ws_a", "cmp_1", "x", h.now.Add(-time.Hour), 1})
	random := rand.New(rand.NewPCG(7, 7))
	revision, watermark := uint64(1), h.now.Add(-time.Minute)
	h.progress("ws_a", revision, watermark)
	answers := 0
	for range 60 {
		switch random.IntN(5) {
		case 0:
			h.insert(event{"ws_a", fmt.Sprintf("cmp_%d", random.IntN(3)), "x", h.now.Add(-time.Duration(random.IntN(5000)) * time.Second), 7})
			revision++
		case 1:
			h.now = h.now.Add(time.Duration(random.IntN(40_000)) * time.Millisecond)
		case 2:
			watermark = watermark.Add(time.Duration(random.IntN(40_000)) * time.Millisecond)
		case 3:
			h.campaign("ws_a", "cmp_1", fmt.Sprint("Name ", revision), "ACTIVE", h.now, nil)
			revision++
		}
		h.progress("ws_a", revision, watermark)
		for range 3 {
			target := "/v1/workspaces/ws_a/" + figurePaths[random.IntN(len(figurePaths))]
			want, got := h.do(http.MethodGet, target), h.doOn(kept, http.MethodGet, target)
			if want.status != http.StatusOK || string(got.body) != string(want.body) || got.header.Get("ETag") != want.header.Get("ETag") {
				t.Fatalf("%s: kept %d %s\nmade %d %s", target, got.status, got.body, want.status, want.body)
			}
			answers++
		}
	}
	made := asked()
	for range 3 {
		for _, path := range figurePaths {
			if r := h.doOn(kept, http.MethodGet, "/v1/workspaces/ws_a/"+path); r.status != http.StatusOK {
				t.Fatalf("%s: %d", path, r.status)
			}
		}
		if before := made; asked() == before {
			return // the last round asked ClickHouse for no figure
		}
		made = asked()
	}
	t.Errorf("after %d answers questions are still asked anew", answers)
}

func TestKeptAnswersAreBoundedAndErrorsAreNotKept(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	kept, asked := keeping(h, 1) // nothing fits
	h.insert(event{"ws_a", "cmp_1", "", h.now.Add(-time.Hour), 1})
	h.progress("ws_a", 1, h.now)
	for range 2 {
		before := asked()
		if r := h.doOn(kept, http.MethodGet, "/v1/workspaces/ws_a/balance"); r.status != http.StatusOK {
			t.Fatal(r.status)
		}
		for i := range 3 { // pushes it out
			h.doOn(kept, http.MethodGet, fmt.Sprintf("/v1/workspaces/ws_a/campaigns?limit=%d", i+1))
		}
		if asked() == before {
			t.Error("an answer is kept that does not fit")
		}
	}
	roomy, _ := keeping(h, 1<<20)
	const target = "/v1/workspaces/ws_a/campaigns/cmp_2"
	if r := h.doOn(roomy, http.MethodGet, target); r.status != http.StatusNotFound {
		t.Fatalf("%d %s", r.status, r.body)
	}
	h.insert(event{"ws_a", "cmp_2", "", h.now.Add(-time.Hour), 1})
	if r := h.doOn(roomy, http.MethodGet, target); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestManyWhoAskTheSameShareOneAnswer(t *testing.T) {
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	kept, asked := keeping(h, 1<<20)
	h.insert(event{"ws_a", "cmp_1", "", h.now.Add(-time.Hour), 1})
	h.progress("ws_a", 1, h.now)
	h.doOn(kept, http.MethodGet, "/v1/workspaces/ws_a/campaigns") // ws_a is known
	h.progress("ws_a", 2, h.now)
	before := asked()
	h.doOn(kept, http.MethodGet, "/v1/workspaces/ws_a/balance")
	one := asked() - before
	h.progress("ws_a", 3, h.now)
	before = asked()
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() { h.doOn(kept, http.MethodGet, "/v1/workspaces/ws_a/balance") })
	}
	group.Wait()
	if all := asked() - before; all != one {
		t.Errorf("50 callers had %d questions asked, one has %d", all, one)
	}
}
