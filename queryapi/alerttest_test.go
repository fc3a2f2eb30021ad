package queryapi_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// TestDryRunOfAnAlertRuleIsTheReplayOfItsStory: two campaigns use a grant up,
// one of them in a burst, until another is granted. What the replay is given is
// made of the story, by quarters throughout, and of no table. When the balance
// is low is known by hand as well.
func TestDryRunOfAnAlertRuleIsTheReplayOfItsStory(t *testing.T) {
	t.Parallel()
	h := newAlerting(t)
	const quarter = 15 * time.Minute
	to := h.now.Truncate(quarter)
	begin := to.Add(-70 * 24 * time.Hour)
	millis := func(at time.Time) schemas.Millis { return schemas.Millis(at.UnixMilli()) }
	credits := func(n int) schemas.Credits { return schemas.Credits(n) * schemas.MicrosPerCredit }

	story := &alerts.Timeline{Zone: time.UTC}
	for _, g := range []struct {
		id     string
		amount int
		at     time.Time
	}{{"g1", 1000, begin}, {"g2", 500, to.Add(-5 * 24 * time.Hour)}} {
		expires := to.Add(20 * 24 * time.Hour).Truncate(time.Minute)
		h.grant("ws_a", g.id, credits(g.amount), g.at, &expires)
		story.Entries = append(story.Entries, balance.Entry{
			Type: schemas.CreditsGranted, EventID: "ev-" + g.id, GrantID: g.id, At: millis(g.at), Credits: credits(g.amount), Class: schemas.Paid,
			Priority: 100, EffectiveAt: millis(g.at), ExpiresAt: millis(expires),
		})
	}
	quota := credits(550)
	var events []event
	campaigns := map[string][]alerts.Bucket{}
	use := func(campaign string, at time.Time, n int) {
		events = append(events, event{"ws_a", campaign, "", at.Add(7 * time.Minute), credits(n)})
		b := alerts.Bucket{From: millis(at), To: millis(at.Add(quarter)), Net: credits(n).Total(), Gross: credits(n).Total()}
		campaigns[campaign] = append(campaigns[campaign], b)
		if last := len(story.Usage) - 1; last >= 0 && story.Usage[last].From == b.From {
			story.Usage[last].Net, story.Usage[last].Gross = story.Usage[last].Net.Add(b.Net), story.Usage[last].Gross.Add(b.Gross)
			return
		}
		story.Usage = append(story.Usage, b)
	}
	var emptyAt time.Time
	used := 0
	for at := begin; at.Before(to); at = at.Add(2 * time.Hour) {
		n := 1
		if age := to.Sub(at); age < 10*24*time.Hour && age > 9*24*time.Hour {
			n = 30 // a burst
		}
		use("cmp_a", at, n)
		use("cmp_b", at, 1)
		if used += n + 1; used >= 1000 && emptyAt.IsZero() {
			emptyAt = at.Add(quarter)
		}
	}
	h.insert(events...)
	h.insert(event{"ws_a", "cmp_a", "", to.Add(time.Second), credits(10_000)}) // not counted as a whole quarter
	for _, id := range []string{"cmp_a", "cmp_b"} {
		h.campaign("ws_a", id, "Name of "+id, "ACTIVE", begin, &quota)
		story.Campaigns = append(story.Campaigns, alerts.CampaignTimeline{
			ID: id, Usage: campaigns[id],
			States: []alerts.CampaignState{{At: millis(begin), Name: "Name of " + id, Status: "ACTIVE", Quota: quota, HasQuota: true, EndsAt: schemas.NoInstant}},
		})
	}

	total := 0
	for _, rule := range schemas.DefaultAlertRules("ws_a") {
		var got queryapi.AlertTest
		h.tested(rulesOfA+"/"+rule.RuleID+"/test", "", &got)
		want, err := alerts.Replay(rule, story, millis(to.Add(-30*24*time.Hour)), millis(to), schemas.Millis(quarter.Milliseconds()))
		if err != nil {
			t.Fatal(err)
		}
		total += len(want)
		if got.Fired != len(want) || len(got.Items) != len(want) || got.To != queryapi.Instant(to.Format(time.RFC3339)) || got.StepSeconds != 900 || got.Resolution != 900 {
			t.Errorf("%s: %+v\nwant %+v", rule.RuleID, got, want)
			continue
		}
		for i, w := range want {
			g := got.Items[i]
			if g.Subject != w.Subject || g.FiredAt != at3339(w.FiredAt) || g.BeganAt != at3339(w.BeganAt) || (g.ResolvedAt == nil) != (w.ResolvedAt == schemas.NoInstant) ||
				g.ResolvedAt != nil && *g.ResolvedAt != at3339(w.ResolvedAt) || g.Message != w.Message {
				t.Errorf("%s: %+v\nwant %+v", rule.RuleID, g, w)
			}
		}
	}
	if total < 3 {
		t.Errorf("%d incidents: nothing is tested", total)
	}

	var got queryapi.AlertTest
	h.tested(rulesOfA+"/test", `{"kind":"balance_below","name":"n","params":{"credits":0}}`, &got)
	if len(got.Items) != 1 || got.Items[0].FiredAt != queryapi.Instant(emptyAt.Format(time.RFC3339)) {
		t.Errorf("empty at %v: %+v", emptyAt, got)
	}
	const full = `{"kind":"quota_used","name":"n","params":{"percent":100}}`
	h.tested(rulesOfA+"/test", full, &got)
	sum, reached := 0, time.Time{}
	for _, b := range campaigns["cmp_a"] {
		micro, _ := b.Net.Micro()
		if sum += int(micro / schemas.MicrosPerCredit); sum >= 550 && reached.IsZero() {
			reached = time.UnixMilli(int64(b.To)).UTC()
		}
	}
	if !slices.ContainsFunc(got.Items, func(i queryapi.AlertTestedMessage) bool {
		return i.Subject == "cmp_a" && (i.FiredAt == queryapi.Instant(reached.Format(time.RFC3339)))
	}) {
		t.Errorf("quota at %v: %+v", reached, got)
	}
	// Of very many campaigns only hours are read, and the quarters that matter.
	h.exec(`INSERT INTO campaigns (workspace_id, campaign_id, time, event_id, name, status, quota_micro)
		SELECT 'ws_a', concat('more_', toString(number)), toDateTime64(?, 3, 'UTC'), toString(number), 'More', 'ACTIVE', 1000000 FROM numbers(200)`, begin.Unix())
	few := got
	if h.tested(rulesOfA+"/test", full, &got); !reflect.DeepEqual(got, few) {
		t.Errorf("with more campaigns that use nothing: %+v\nwant %+v", got, few)
	}
	if h.tested(rulesOfA+"/test", `{"kind":"quota_projected","name":"n"}`, &got); got.Resolution != 3600 {
		t.Errorf("resolution %d of projections of very many campaigns", got.Resolution)
	}
	if h.tested(rulesOfA+"/test", `{"kind":"quota_projected","name":"n","params":{"campaign_id":"cmp_a"}}`, &got); got.Resolution != 900 {
		t.Errorf("resolution %d of the projection of one campaign", got.Resolution)
	}
	if r := h.call(h.server, testToken, http.MethodPost, rulesOfA+"/test", `{"kind":"quota_used","name":"n","params":{}}`); h.problemOf(r).Code != queryapi.CodeInvalidParameter {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := h.call(h.server, testToken, http.MethodPost, rulesOfA+"/none/test", ""); h.problemOf(r).Code != queryapi.CodeAlertRuleNotFound {
		t.Errorf("%d %s", r.status, r.body)
	}
	if rules := h.rules("ws_a"); len(rules) != len(schemas.DefaultAlertRules("")) {
		t.Errorf("something was written: %v", rules)
	}
}

func at3339(at schemas.Millis) queryapi.Instant {
	return queryapi.Instant(time.UnixMilli(int64(at)).UTC().Format(time.RFC3339))
}

// tested decodes the answer of a dry run.
func (h *harness) tested(target, body string, into *queryapi.AlertTest) {
	h.t.Helper()
	r := h.call(h.server, testToken, http.MethodPost, target, body)
	*into = queryapi.AlertTest{}
	if err := json.Unmarshal(r.body, into); err != nil || r.status != http.StatusOK {
		h.t.Fatalf("%s %s: %d %s (%v)\nlog: %s", target, body, r.status, r.body, err, h.log)
	}
}
