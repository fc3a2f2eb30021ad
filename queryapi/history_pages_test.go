package queryapi_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/queryapi"
)

// TestHistoryPagesSkipAndDoubleNothingWhileEventsComeIn: what was there when
// the first page was asked for is on exactly one page, and what comes in
// meanwhile, new or late or at the very place where a page ended, on at most one.
func TestHistoryPagesSkipAndDoubleNothingWhileEventsComeIn(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Millisecond)
	h := newHarness(t, now)
	p := newPast(h, "ws_a", 20, 150)
	random := rand.New(rand.NewPCG(11, 12))
	for _, view := range []string{"grouped", "events"} {
		for _, campaign := range []string{"", "cmp_1"} {
			q := url.Values{"view": {view}, "limit": {"17"}, "tz": {"Asia/Kathmandu"}}
			if campaign != "" {
				q.Set("campaign_id", campaign)
			}
			want := map[string]bool{}
			for _, item := range h.walk("ws_a", with(q, "limit", "1000"), nil) {
				// Expiries are what is left, which every event changes.
				want[item.EntryID] = item.Type != "expiry"
			}
			shown := map[string]int{}
			for _, item := range h.walk("ws_a", q, func() {
				at := p.events[random.IntN(len(p.events))].at
				h.insert(
					event{"ws_a", "cmp_1", "late", at, 1}, event{"ws_a", "cmp_3", "late", at.Add(-time.Minute), -1},
					event{"ws_a", "cmp_1", "new", now, 1})
				h.now = h.now.Add(time.Second) // raw_from moves as well
			}) {
				shown[item.EntryID]++
			}
			for id, times := range shown {
				if times != 1 {
					t.Errorf("%s %q: %s is shown %d times", view, campaign, id, times)
				}
			}
			for id, must := range want {
				if must && shown[id] == 0 {
					t.Errorf("%s %q: %s is skipped", view, campaign, id)
				}
			}
		}
	}
}

// TestHistoryPagesAreOfOneLedger: what is granted, adjusted and voided meanwhile
// is in the next listing, and all pages of this one are as they would have been.
func TestHistoryPagesAreOfOneLedger(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Millisecond)
	h := newHarness(t, now)
	p := newPast(h, "ws_a", 20, 150)
	random := rand.New(rand.NewPCG(13, 14))
	offset := 1000
	for _, view := range []string{"grouped", "events"} {
		q := url.Values{"view": {view}, "limit": {"23"}, "tz": {"America/Havana"}}
		before := h.walk("ws_a", with(q, "limit", "1000"), nil)
		during := h.walk("ws_a", q, func() {
			e := p.events[random.IntN(len(p.events))]
			offset++
			h.exec(`INSERT INTO credit_entries (workspace_id, time, event_id, type, grant_id, credits_micro, class, effective_at, epoch, koff)
				VALUES ('ws_a', ?, ?, 'credits.granted', ?, 7000000, 'paid', ?, ?, ?)`,
				e.at.Truncate(time.Minute), fmt.Sprint("late-", offset), fmt.Sprint("late-", offset), e.at.Truncate(time.Minute), uint32(testEpoch), uint64(offset))
		})
		was, _ := json.Marshal(before)
		is, _ := json.Marshal(during)
		if string(was) != string(is) {
			t.Errorf("%s: the pages have\n%s\nthe list was\n%s", view, is, was)
		}
		if after := h.walk("ws_a", with(q, "limit", "1000"), nil); len(after) <= len(before) {
			t.Errorf("%s: %d rows after grants, %d before", view, len(after), len(before))
		}
	}
}

func with(q url.Values, name, value string) url.Values {
	c := cloneValues(q)
	c.Set(name, value)
	return c
}

// TestHistorySaysWhatAFinancePersonAsks shows one story in both views, as text.
func TestHistorySaysWhatAFinancePersonAsks(t *testing.T) {
	t.Parallel()
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	h.exec(`INSERT INTO credit_entries (workspace_id, time, event_id, type, grant_id, credits_micro, class, priority, effective_at, expires_at, note, actor, source, kafka_time, koff) VALUES
		('ws_a', '2026-11-01 00:00:00', 'e1', 'credits.granted', 'october', 100000000, 'paid', 100, '2026-11-01 00:00:00', '2026-11-20 00:00:00', 'contract 7', 'ops', '/billing', '2026-11-01 00:00:01', 1),
		('ws_a', '2026-11-02 00:00:00', 'e2', 'credits.granted', 'mistake', 50000000, 'paid', 100, '2026-12-01 00:00:00', NULL, '', '', '', '2026-11-02 00:00:00', 2),
		('ws_a', '2026-11-03 00:00:00', 'e3', 'credits.grant_voided', 'mistake', 0, '', 0, NULL, NULL, 'wrong customer', 'ops', '/billing', '2026-11-03 00:05:01', 3),
		('ws_a', '2026-11-10 12:00:00', 'e4', 'credits.adjusted', '', -2500000, '', 0, NULL, NULL, 'fee', 'ops', '/billing', '2026-11-10 12:05:00', 4)`)
	h.exec(`INSERT INTO events (workspace_id, time, event_id, campaign_id, action, actor, source, credits_micro, attributes, kafka_time) VALUES
		('ws_a', '2026-11-10 10:00:00.000', 'u1', 'cmp_7', 'lead_sourced', 'agent:alice', '/runner', 10000000, {'lead_id': 'l_91'}, '2026-11-10 10:00:00.200'),
		('ws_a', '2026-11-10 13:00:00.000', 'u2', '', '', '', '', 500000, {}, '2026-11-10 13:05:00.001'),
		('ws_a', '2026-11-10 14:00:00.000', 'u3', 'cmp_7', 'lead_sourced', '', '', -1000000, {}, '2026-11-10 14:00:00.000')`)
	show := func(item queryapi.HistoryItem) string {
		text := fmt.Sprintf("%s %s %s, %s: %s", item.At, item.EntryID, item.Credits, item.Change, item.BalanceAfter)
		for _, s := range item.Sources {
			text += fmt.Sprintf(" [%s %s]", or(s.GrantID), s.Change)
		}
		if item.Sources == nil {
			text += " [?]"
		}
		for name, value := range map[string]*string{"unmoved": item.Unmoved} {
			if value != nil {
				text += fmt.Sprintf(" %s=%s", name, *value)
			}
		}
		if item.Late != nil && *item.Late {
			text += " late"
		}
		if item.From != nil {
			text += fmt.Sprintf(" %s..%s %d -%s", *item.From, *item.To, *item.Events, *item.Refunds)
		}
		return text + " " + strings.TrimSpace(or(item.CampaignID)+" "+or(item.Action)+" "+or(item.Actor)+" "+or(item.GrantID)+" "+or(item.Note)+" "+or(item.Source))
	}
	for view, want := range map[string][]string{
		"events": {
			"2026-11-20T00:00:00Z expiry:october 88, -88: 0 [october -88]    october",
			"2026-11-10T14:00:00Z consumption:u3 -1, 1: 88 [october 1] cmp_7 lead_sourced",
			"2026-11-10T13:00:00Z consumption:u2 0.5, -0.5: 87 [october -0.5] late",
			"2026-11-10T12:00:00Z adjustment:e4 -2.5, -2.5: 87.5 [october -2.5]   ops  fee /billing",
			"2026-11-10T10:00:00Z consumption:u1 10, -10: 90 [october -10] cmp_7 lead_sourced agent:alice   /runner",
			"2026-11-03T00:00:00Z void:e3 50, 0: 100 unmoved=scheduled late   ops mistake wrong customer /billing",
			"2026-11-01T00:00:00Z grant:e1 100, 100: 100 [october 100]   ops october contract 7 /billing",
		},
		"grouped": {
			"2026-11-20T00:00:00Z expiry:october 88, -88: 0 [october -88]    october",
			"2026-11-10T12:00:00Z usage:2026-11-10T12:00:00Z:cmp_7 -1, 1: 88 [october 1] 2026-11-10T12:00:00Z..2026-11-10T23:00:00Z 1 -1 cmp_7",
			"2026-11-10T12:00:00Z usage:2026-11-10T12:00:00Z: 0.5, -0.5: 87 [october -0.5] 2026-11-10T12:00:00Z..2026-11-10T23:00:00Z 1 -0",
			"2026-11-10T12:00:00Z adjustment:e4 -2.5, -2.5: 87.5 [october -2.5]   ops  fee /billing",
			"2026-11-09T23:00:00Z usage:2026-11-09T23:00:00Z:cmp_7 10, -10: 90 [october -10] 2026-11-09T23:00:00Z..2026-11-10T12:00:00Z 1 -0 cmp_7",
			"2026-11-03T00:00:00Z void:e3 50, 0: 100 unmoved=scheduled late   ops mistake wrong customer /billing",
			"2026-11-01T00:00:00Z grant:e1 100, 100: 100 [october 100]   ops october contract 7 /billing",
		},
	} {
		var got queryapi.History
		h.get("/v1/workspaces/ws_a/history", url.Values{"view": {view}, "tz": {"Europe/Berlin"}}, &got)
		if len(got.Items) != len(want) {
			t.Fatalf("%s: %d rows", view, len(got.Items))
		}
		for i, item := range got.Items {
			if line := show(item); strings.Join(strings.Fields(line), " ") != strings.Join(strings.Fields(want[i]), " ") {
				t.Errorf("%s: %s\nwant %s", view, line, want[i])
			}
			if (item.EntryID == "consumption:u1") != (item.Attributes["lead_id"] == "l_91") {
				t.Errorf("%s: attributes %v", item.EntryID, item.Attributes)
			}
		}
		if got.TZ != "Europe/Berlin" || got.From != nil || got.NextCursor != nil || got.Freshness == nil {
			t.Errorf("%s: %+v", view, got)
		}
	}
}

func or(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func TestHistoryCursorOfAnotherListIsRefused(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	h := newHarness(t, now)
	h.insert(randomEvents("ws_a", now, 50)...)
	h.insert(randomEvents("ws_b", now, 50)...)
	var page queryapi.History
	h.get("/v1/workspaces/ws_a/history", url.Values{"limit": {"1"}}, &page)
	cursor := *page.NextCursor
	var campaigns queryapi.Campaigns
	h.get("/v1/workspaces/ws_a/campaigns", url.Values{"limit": {"1"}}, &campaigns)
	for _, target := range []string{
		"ws_b/history?cursor=" + cursor, "ws_a/history?view=events&cursor=" + cursor, "ws_a/history?type=grant&cursor=" + cursor,
		"ws_a/history?campaign_id=&cursor=" + cursor, "ws_a/history?tz=Asia/Kolkata&cursor=" + cursor, "ws_a/history?cursor=e30",
		"ws_a/history?cursor=" + *campaigns.NextCursor, "ws_a/campaigns?cursor=" + cursor,
	} {
		p := h.problemOf(h.do(http.MethodGet, "/v1/workspaces/"+target))
		if p.Status != http.StatusUnprocessableEntity || len(p.Errors) != 1 || p.Errors[0].Location != "query.cursor" {
			t.Errorf("%s: %+v", target, p)
		}
	}
	h.now = now.AddDate(0, 2, 0)
	if p := h.problemOf(h.do(http.MethodGet, "/v1/workspaces/ws_a/history?limit=1&cursor="+cursor)); p.Code != queryapi.CodeInvalidParameter {
		t.Errorf("after two months: %+v", p)
	}
}

// TestHistoryReadsOnlyWhatAPageNeeds: of a million events in a year one page
// reads a few granules, and grouped not one event.
func TestHistoryReadsOnlyWhatAPageNeeds(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Millisecond)
	h := newHarness(t, now)
	h.exec(fmt.Sprintf(`INSERT INTO events (workspace_id, time, event_id, campaign_id, credits_micro)
		SELECT 'ws_a', toDateTime64(%d, 3, 'UTC') - number * 30, toString(number), concat('cmp_', toString(number %% 10)), 1000000 FROM numbers(1000000)`, now.Unix()))
	read := func(query string) float64 { return h.readRows()[query] }
	for _, c := range []struct {
		query string
		most  float64
	}{
		// Beside the page: the partial minute at its end.
		{"view=events", 4 * 8192},
		{"view=events&to=" + now.AddDate(0, 0, -100).Format("2006-01-02T15:04:05Z"), 4 * 8192},
		// A hundred events of one campaign lie within four days.
		{"view=events&limit=20&campaign_id=cmp_3", 8 * 8192},
		{"view=grouped", 0},
		{"view=grouped&tz=Asia/Kolkata", 0},
	} {
		before, sums := read("history_events")+read("history_ties"), read("history")
		var got queryapi.History
		h.get("/v1/workspaces/ws_a/history?"+c.query, nil, &got)
		if len(got.Items) < 20 {
			t.Errorf("%s: %d rows", c.query, len(got.Items))
		}
		if rows := read("history_events") + read("history_ties") - before; rows > c.most {
			t.Errorf("%s read %.0f events, want at most %.0f", c.query, rows, c.most)
		}
		// 348 days of 10 campaigns, and granules of finer rollups and events.
		if rows := read("history") - sums; rows > 3480+6*8192 {
			t.Errorf("%s read %.0f rows of sums", c.query, rows)
		}
	}
}

// TestHistoryBeforeRawFromIsGroupedByDay: raw events that are gone are missed
// by no row.
func TestHistoryBeforeRawFromIsGroupedByDay(t *testing.T) {
	t.Parallel()
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z")) // 13 months: from 2025-10-22T09:00:30 on
	h.insert(
		event{"ws_a", "cmp_1", "", at(t, "2025-10-20T10:00:00Z"), 1_000_000}, event{"ws_a", "cmp_1", "", at(t, "2025-10-20T23:30:00Z"), 2_000_000},
		event{"ws_a", "cmp_1", "", at(t, "2025-10-22T20:00:00Z"), 4_000_000}, event{"ws_a", "cmp_1", "", at(t, "2025-10-23T00:00:00Z"), 8_000_000})
	h.exec("TRUNCATE TABLE events")
	h.exec(`INSERT INTO events (workspace_id, time, event_id, campaign_id, credits_micro, repair) VALUES ('ws_a', '2025-10-23 00:00:00', 'kept', 'cmp_1', 8000000, 1)`)
	var got queryapi.History
	h.get("/v1/workspaces/ws_a/history?view=events", nil, &got)
	text, _ := json.Marshal(got.Items)
	for i, want := range [][3]string{
		{"consumption:kept", "8", "-15"}, {"usage:2025-10-22T00:00:00Z:cmp_1", "4", "-7"}, {"usage:2025-10-20T00:00:00Z:cmp_1", "3", "-3"},
	} {
		if len(got.Items) != 3 || got.Items[i].EntryID != want[0] || string(got.Items[i].Credits) != want[1] || string(got.Items[i].BalanceAfter) != want[2] {
			t.Fatalf("row %d is not %v: %s", i, want, text)
		}
	}
	if p := h.problemOf(h.do(http.MethodGet, "/v1/workspaces/ws_a/history?from=2025-10-21T00:00:00.5Z")); p.Code != queryapi.CodeResolutionUnavailable {
		t.Errorf("%+v", p)
	}
}

// TestHistoryIsExactBeyond64Bits: nothing bounds what events add up to.
func TestHistoryIsExactBeyond64Bits(t *testing.T) {
	t.Parallel()
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	const huge = "9999999999999999999999"
	h.exec(`INSERT INTO usage_1d SELECT 'ws_a', toDateTime('2026-11-10 00:00:00', 'UTC'), 'cmp_1', '', toInt128('` + huge + `000000'), 0, 1`)
	var got queryapi.History
	h.get("/v1/workspaces/ws_a/history", nil, &got)
	if len(got.Items) != 1 || got.Items[0].Credits != huge || got.Items[0].BalanceAfter != "-"+huge {
		t.Errorf("%+v", got.Items)
	}
}
