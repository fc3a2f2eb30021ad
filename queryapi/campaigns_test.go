package queryapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// withStates adds states to some of the campaigns that randomEvents use, and
// to one that nobody used.
func (h *harness) withStates(workspace string, now time.Time) (names, statuses map[string]string) {
	h.t.Helper()
	names, statuses = map[string]string{}, map[string]string{}
	quota := schemas.Credits(100_000_000)
	for i, status := range []string{"ACTIVE", "PAUSED", "COMPLETED", "DRAFT", "ACTIVE"} {
		id, name := fmt.Sprintf("cmp_%d", i+1), fmt.Sprintf("%c campaign's \"näme\"", 'e'-i)
		if i == 4 {
			id = "cmp_unused"
		}
		h.campaign(workspace, id, "old name", "DRAFT", now.Add(-48*time.Hour), nil)
		h.campaign(workspace, id, name, status, now.Add(-24*time.Hour), &quota)
		h.campaign(workspace, id, "before both", "PAUSED", now.Add(-72*time.Hour), nil)
		names[id], statuses[id] = name, status
	}
	return names, statuses
}

func TestCampaignRowsAndUnattributedAddUpToTheTotal(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	h := newHarness(t, now)
	events := randomEvents("ws_a", now, 3_000)
	h.insert(events...)
	names, statuses := h.withStates("ws_a", now)

	rapid.Check(t, func(rt *rapid.T) {
		from := now.Add(-time.Duration(rapid.Int64Range(1, int64(300*24*time.Hour)).Draw(rt, "from"))).Truncate(time.Millisecond)
		to := from.Add(time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(200*24*time.Hour)).Draw(rt, "length"))).Truncate(time.Millisecond)
		q := url.Values{"from": {from.Format(time.RFC3339Nano)}, "to": {to.Format(time.RFC3339Nano)}}
		var got queryapi.Campaigns
		h.get("/v1/workspaces/ws_a/campaigns", q, &got)

		life := func(id string) func(event) bool { return func(e event) bool { return e.campaign == id } }
		total, _, count := naive(events, from, to, func(event) bool { return true })
		if string(got.Total.Used) != total.String() || got.Total.Events != count {
			rt.Fatalf("total %+v, want %s of %d", got.Total, total, count)
		}
		rest, _, count := naive(events, from, to, life(""))
		if string(got.Unattributed.Used) != rest.String() || got.Unattributed.Events != count {
			rt.Fatalf("unattributed %+v, want %s of %d", got.Unattributed, rest, count)
		}
		if len(got.Items) != 13 { // 12 used, one unused
			rt.Fatalf("%d items", len(got.Items))
		}
		sum := rest
		for i, item := range got.Items {
			used, _, _ := naive(events, from, to, life(item.CampaignID))
			quotaUsed, _, _ := naive(events, time.Time{}, now.Add(time.Hour), life(item.CampaignID))
			sum = sum.Add(used)
			if string(item.Used) != used.String() || string(item.QuotaUsed) != quotaUsed.String() {
				rt.Fatalf("%+v, want used %s, life %s", item, used, quotaUsed)
			}
			if i > 0 && number(rt, got.Items[i-1].Used) < number(rt, item.Used) {
				rt.Fatalf("%s before %s", got.Items[i-1].Used, item.Used)
			}
			var last time.Time
			for _, e := range events {
				if e.campaign == item.CampaignID && e.at.After(last) {
					last = e.at
				}
			}
			if (item.LastEventAt == nil) != last.IsZero() || (item.LastEventAt != nil && !parse(rt, *item.LastEventAt).Equal(last)) {
				rt.Fatalf("%s: last event at %v, want %v", item.CampaignID, item.LastEventAt, last)
			}
			checkState(rt, item, names[item.CampaignID], statuses[item.CampaignID])
		}
		if sum != total {
			rt.Fatalf("rows add up to %s, total is %s", sum, total)
		}
	})
}

func checkState(rt *rapid.T, item queryapi.Campaign, name, status string) {
	if name == "" {
		if item.Name != nil || item.Status != nil || item.Quota != nil || item.QuotaUsedPercent != nil {
			rt.Fatalf("%+v has a state", item)
		}
	} else if *item.Name != name || *item.Status != status || *item.Quota != "100" || item.QuotaUsedPercent == nil {
		rt.Fatalf("%+v, want %q %s", item, name, status)
	}
	if p := item.Projected; status == "PAUSED" || status == "COMPLETED" {
		if *p.P10 != item.QuotaUsed || *p.P50 != item.QuotaUsed || *p.P90 != item.QuotaUsed || p.At == nil || p.Method != "run_rate" {
			rt.Fatalf("%+v projects to %+v", item, p)
		}
	} else if p.P50 != nil || p.At != nil || p.Method != "insufficient_data" {
		rt.Fatalf("%+v projects to %+v", item, p)
	}
}

func number(rt rapid.TB, text queryapi.Decimal) float64 {
	var f float64
	if _, err := fmt.Sscan(string(text), &f); err != nil {
		rt.Fatal(err)
	}
	return f
}

func TestCampaignPagesAreTheListWhateverTheOrder(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	h := newHarness(t, now)
	h.insert(randomEvents("ws_a", now, 500)...)
	h.withStates("ws_a", now)
	from := now.Add(-300 * 24 * time.Hour).Format(time.RFC3339Nano)
	for _, sort := range []string{"used", "projected", "quota", "name"} {
		for _, order := range []string{"", "asc", "desc"} {
			q := url.Values{"from": {from}, "sort": {sort}}
			if order != "" {
				q.Set("order", order)
			}
			var whole queryapi.Campaigns
			h.get("/v1/workspaces/ws_a/campaigns", q, &whole)
			var ids []string
			q.Set("limit", "3")
			for pages := 0; ; pages++ {
				var page queryapi.Campaigns
				h.get("/v1/workspaces/ws_a/campaigns", q, &page)
				for _, item := range page.Items {
					ids = append(ids, item.CampaignID)
				}
				if page.NextCursor == nil {
					break
				}
				q.Set("cursor", *page.NextCursor)
			}
			var want []string
			for _, item := range whole.Items {
				want = append(want, item.CampaignID)
			}
			if !slices.Equal(ids, want) || len(want) != 13 {
				t.Errorf("sort %s %s: pages have %v, the list %v", sort, order, ids, want)
			}
		}
	}
	q := url.Values{"sort": {"name"}}
	var got queryapi.Campaigns
	h.get("/v1/workspaces/ws_a/campaigns", q, &got)
	if first := got.Items[0]; first.Name == nil || !strings.HasPrefix(*first.Name, "a ") {
		t.Errorf("by name the first is %+v", first)
	}
	q = url.Values{"status": {"ACTIVE"}, "q": {"NÄME"}}
	h.get("/v1/workspaces/ws_a/campaigns", q, &got)
	if len(got.Items) != 2 {
		t.Errorf("active ones with that name: %+v", got.Items)
	}
	h.get("/v1/workspaces/ws_a/campaigns", url.Values{"q": {"Cmp_12"}}, &got)
	if len(got.Items) != 1 || got.Items[0].CampaignID != "cmp_12" {
		t.Errorf("by id: %+v", got.Items)
	}
}

func TestCursorOfAnotherListIsRefused(t *testing.T) {
	now := time.Now().UTC()
	h := newHarness(t, now)
	h.insert(randomEvents("ws_a", now, 200)...)
	var page queryapi.Campaigns
	h.get("/v1/workspaces/ws_a/campaigns", url.Values{"limit": {"1"}}, &page)
	for _, q := range []url.Values{
		{"cursor": {*page.NextCursor}, "sort": {"name"}},
		{"cursor": {*page.NextCursor}, "q": {"x"}},
		{"cursor": {"bm90anNvbg"}},
		{"cursor": {"%%"}},
	} {
		p := h.problemOf(h.do(http.MethodGet, "/v1/workspaces/ws_a/campaigns?"+q.Encode()))
		if p.Status != http.StatusUnprocessableEntity || len(p.Errors) != 1 || p.Errors[0].Location != "query.cursor" {
			t.Errorf("%v: %+v", q, p)
		}
	}
}

func TestCampaignShowsUsageAndChangesOfStatus(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	h := newHarness(t, now)
	events := randomEvents("ws_a", now, 1_000)
	h.insert(events...)
	h.withStates("ws_a", now)
	h.campaign("ws_a", "cmp_1", "renamed only", "ACTIVE", now.Add(-time.Hour), nil)
	from := now.Add(-90 * 24 * time.Hour)
	q := url.Values{"from": {from.Format(time.RFC3339Nano)}, "to": {now.Format(time.RFC3339Nano)}, "bucket": {"1w"}, "tz": {"Asia/Kolkata"}}
	var got queryapi.CampaignDetail
	h.get("/v1/workspaces/ws_a/campaigns/cmp_1", q, &got)
	used, _, _ := naive(events, from, now, func(e event) bool { return e.campaign == "cmp_1" })
	if string(got.Used) != used.String() || got.Usage.Total != got.Used || got.Usage.Bucket != "1w" || got.Usage.TZ != "Asia/Kolkata" ||
		len(got.Usage.Points) < 13 || *got.Name != "renamed only" || got.Projection.Curve == nil {
		t.Errorf("%+v, want used %s", got, used)
	}
	var changes []string
	for _, c := range got.StatusChanges {
		changes = append(changes, c.Status)
	}
	if !slices.Equal(changes, []string{"PAUSED", "DRAFT", "ACTIVE"}) {
		t.Errorf("changes %v", changes)
	}
	if got.StartsAt != nil || got.EndsAt != nil {
		t.Errorf("a state without dates has %v, %v", got.StartsAt, got.EndsAt)
	}
	starts, ends := now.Add(-time.Hour).Truncate(time.Minute), now.Add(30*24*time.Hour).Truncate(time.Minute)
	h.exec(`INSERT INTO campaigns (workspace_id, campaign_id, time, event_id, name, status, starts_at, ends_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		"ws_a", "cmp_unused", now, "dated", "dated", "DRAFT", starts, ends)
	h.get("/v1/workspaces/ws_a/campaigns/cmp_unused", nil, &got)
	if got.LastEventAt != nil || got.Used != "0" || got.StartsAt == nil || got.EndsAt == nil {
		t.Fatalf("%+v", got)
	}
	for text, want := range map[queryapi.Instant]time.Time{*got.StartsAt: starts, *got.EndsAt: ends} {
		if at, err := time.Parse(time.RFC3339Nano, string(text)); err != nil || !at.Equal(want) {
			t.Errorf("%s, want %v (%v)", text, want, err)
		}
	}
	for _, id := range []string{"cmp_none", "not%20an%20id", strings.Repeat("x", 200)} {
		if p := h.problemOf(h.do(http.MethodGet, "/v1/workspaces/ws_a/campaigns/"+id)); p.Code != queryapi.CodeCampaignNotFound {
			t.Errorf("%s: %+v", id, p)
		}
	}
}
