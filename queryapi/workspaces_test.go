package queryapi_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// manyWorkspaces inserts workspaces with ledgers whose instants lie anywhere
// and usage around them.
func (h *harness) manyWorkspaces(n int) {
	h.t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	ago := func(most time.Duration) time.Time { return h.now.Add(-time.Duration(random.Int64N(int64(most)))) }
	var events []event
	for i := range n {
		ws := fmt.Sprintf("ws_%03d", i)
		for g := range random.IntN(4) {
			effective := ago(200 * 24 * time.Hour).Truncate(time.Minute)
			var expires *time.Time
			if random.IntN(2) == 0 {
				at := effective.Add(time.Duration(random.IntN(300*24*60)) * time.Minute)
				expires = &at
			}
			h.grant(ws, fmt.Sprintf("%s_g%d", ws, g), schemas.Credits(random.Int64N(2_000_000_000)), effective, expires)
		}
		for range random.IntN(60) {
			events = append(events, event{ws, fmt.Sprintf("cmp_%d", random.IntN(3)), "a", ago([]time.Duration{220 * 24 * time.Hour, 10 * time.Minute, 26 * time.Hour}[random.IntN(3)]).Truncate(time.Millisecond), schemas.Credits(random.Int64N(30_000_000) - 3_000_000)})
		}
		if len(events) == 0 || events[len(events)-1].workspace != ws {
			events = append(events, event{ws, "", "", h.now, 0})
		}
		if i%3 == 0 {
			h.campaign(ws, "cmp_1", "n", "ACTIVE", h.now, nil)
			h.campaign(ws, "cmp_2", "n", "PAUSED", h.now, nil)
		}
	}
	h.insert(events...)
	h.exec("INSERT INTO workspaces (workspace_id, time, name) VALUES ('ws_001', ?, 'One')", h.now)
	h.exec(`INSERT INTO credit_entries (workspace_id, time, event_id, type, credits_micro, koff)
		SELECT 'ws_002', toStartOfMinute(toDateTime(?)) - 60 * number * 777, concat('adj', toString(number)), 'credits.adjusted', 5000000 * (number % 3) - 4000000, 100 + number FROM numbers(30)`, h.now.Unix())
}

// TestWorkspacesAreListedWithTheFiguresOfTheirBalances: every figure is that of
// the workspace's own balance, in every order and over pages, and takes a few
// statements for all of them.
func TestWorkspacesAreListedWithTheFiguresOfTheirBalances(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-11-22T09:07:30.250Z")
	h := newHarness(t, now)
	const n = 60
	h.manyWorkspaces(n)
	for p := range n {
		h.progress(fmt.Sprintf("ws_%03d", p), uint64(p), now.Add(-time.Duration(1+p%4)*100*time.Second))
	}
	var all queryapi.Workspaces
	h.get("/v1/workspaces", url.Values{"limit": {"1000"}}, &all)
	if len(all.Items) != n || all.Total != n {
		t.Fatalf("%d of %d workspaces, want %d", len(all.Items), all.Total, n)
	}
	for _, item := range all.Items {
		var want queryapi.Balance
		h.get("/v1/workspaces/"+item.WorkspaceID+"/balance", nil, &want)
		got := queryapi.Balance{
			WorkspaceID: item.WorkspaceID, Remaining: item.Remaining, Allocated: item.Allocated, Used: item.Used, Overdraft: item.Overdraft,
			DaysRemaining: item.DaysRemaining, ExpiresAt: item.ExpiresAt, Period: want.Period, Grants: want.Grants,
			BurnRate: item.BurnRate, Runway: item.Runway, Figures: item.Figures,
		}
		if asJSON(got) != asJSON(want) {
			t.Errorf("%s\n got %s\nwant %s", item.WorkspaceID, asJSON(got), asJSON(want))
		}
		var number int
		_, _ = fmt.Sscanf(item.WorkspaceID, "ws_%d", &number)
		if want := uint64(1 - min(number%3, 1)); item.ActiveCampaigns != want || (item.Name != nil) != (number == 1) {
			t.Errorf("%+v", item)
		}
	}
	number := func(d queryapi.Decimal) *big.Rat { r, _ := new(big.Rat).SetString(string(d)); return r }
	for sort, before := range map[string]func(a, b queryapi.WorkspaceHeadline) bool{
		"remaining": func(a, b queryapi.WorkspaceHeadline) bool { return number(a.Remaining).Cmp(number(b.Remaining)) <= 0 },
		"burn_rate": func(a, b queryapi.WorkspaceHeadline) bool {
			return number(a.BurnRate.Hours24).Cmp(number(b.BurnRate.Hours24)) <= 0
		},
		"runway": func(a, b queryapi.WorkspaceHeadline) bool {
			rank := func(r queryapi.Runway) string {
				switch {
				case r.ExhaustsAt != nil:
					at, _ := time.Parse(time.RFC3339Nano, string(*r.ExhaustsAt))
					return "1" + at.UTC().Format("2006-01-02T15:04:05.000")
				case *r.Reason == "exhausted":
					return "0"
				}
				return "2"
			}
			return rank(a.Runway) <= rank(b.Runway)
		},
	} {
		var paged []queryapi.WorkspaceHeadline
		q := url.Values{"sort": {sort}, "order": {"asc"}, "limit": {"7"}}
		for {
			var page queryapi.Workspaces
			h.get("/v1/workspaces", q, &page)
			paged = append(paged, page.Items...)
			if page.NextCursor == nil {
				break
			}
			q.Set("cursor", *page.NextCursor)
		}
		ids := map[string]bool{}
		for i, item := range paged {
			ids[item.WorkspaceID] = true
			if i > 0 && !before(paged[i-1], item) {
				t.Errorf("%s: %+v before %+v", sort, paged[i-1], item)
			}
		}
		if len(ids) != n || len(paged) != n {
			t.Errorf("%s: %d different of %d", sort, len(ids), len(paged))
		}
	}
	p := h.problemOf(h.do(http.MethodGet, "/v1/workspaces?sort=name&order=up&limit=0&cursor=x&q=1"))
	if p.Code != queryapi.CodeInvalidParameter || len(p.Errors) != 5 {
		t.Errorf("%+v", p)
	}
}

func asJSON(v any) string { text, _ := json.Marshal(v); return string(text) }

// TestTwoThousandWorkspacesTakeAFewStatements, whatever their number, and are
// read again only once in a while.
func TestTwoThousandWorkspacesTakeAFewStatements(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-11-22T09:07:30Z")
	h := newHarness(t, now)
	// 60 days of every quarter would be 11 million rows; a busy hour a day is
	// as many edges and statements.
	h.exec(`INSERT INTO usage_15m_total SELECT concat('ws_', toString(number % 2000)), toDateTime('2026-11-22 08:00:00', 'UTC') - 21600 * intDiv(number, 2000), 1000000, 0, 1 FROM numbers(480000)`)
	h.exec(`INSERT INTO credit_entries (workspace_id, time, event_id, type, grant_id, credits_micro, class, priority, effective_at, koff)
		SELECT concat('ws_', toString(number % 2000)), toDateTime('2026-10-01 00:07:00', 'UTC') + 60 * (number % 5000), toString(number), 'credits.granted', toString(number), 100000000, 'paid', 100, toDateTime('2026-10-01 00:07:00', 'UTC') + 60 * (number % 5000), number FROM numbers(10000)`)
	kept, asked := keeping(h, 1<<20)
	began := time.Now()
	r := h.doOn(kept, http.MethodGet, "/v1/workspaces?limit=1000")
	took := time.Since(began)
	var page queryapi.Workspaces
	if err := json.Unmarshal(r.body, &page); err != nil || page.Total != 2000 || len(page.Items) != 1000 {
		t.Fatalf("%d %.300s %v", r.status, r.body, err)
	}
	// All workspaces, and of each of four partitions in two chunks at the most
	// ledgers, campaigns and usage.
	statements := asked()
	if statements > 1+4*2*3 {
		t.Errorf("%d statements", statements)
	}
	t.Logf("2,000 workspaces in %v, %d statements", took.Round(time.Millisecond), statements)
	for range 3 {
		h.doOn(kept, http.MethodGet, "/v1/workspaces?sort=remaining")
	}
	if again := asked() - statements; again > 3 {
		t.Errorf("%d more statements for the same", again)
	}
	for _, item := range []queryapi.WorkspaceHeadline{page.Items[0], page.Items[500], page.Items[999]} {
		var want queryapi.Balance
		h.get("/v1/workspaces/"+item.WorkspaceID+"/balance", nil, &want)
		if want.Remaining != item.Remaining || item.Allocated != "500" {
			t.Errorf("%+v, want %s", item, want.Remaining)
		}
	}
}
