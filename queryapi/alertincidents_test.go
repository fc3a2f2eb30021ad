package queryapi_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/queryapi"
)

// storyIncident is an incident as the aggregator records it: a row for each
// state from its first to its last.
type storyIncident struct {
	id, rule, kind, subject string
	began                   time.Time
	states                  []string
}

// record inserts rows of incidents, the changes of each a minute apart.
func (h *harness) record(workspace string, incidents ...storyIncident) {
	h.t.Helper()
	batch, err := h.conn.PrepareBatch(h.t.Context(), `INSERT INTO alert_incidents (workspace_id, recorded_at, incident_id, state, rule_id, rule_revision, kind, subject, sequence, at, message, detail)`)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, i := range incidents {
		for n, state := range i.states {
			at := i.began.Add(time.Duration(n) * time.Minute)
			if err := batch.Append(workspace, at.Add(time.Second), i.id, state, i.rule, uint32(3), i.kind, i.subject, uint32(2), at,
				i.id+" is "+state, `{"n":`+fmt.Sprint(n)+`}`); err != nil {
				h.t.Fatal(err)
			}
		}
	}
	if err := batch.Send(); err != nil {
		h.t.Fatal(err)
	}
}

const incidentsOfA = "/v1/workspaces/ws_a/alerts/incidents"

// incidentPages reads all pages; between is called before each but the first.
func (h *harness) incidentPages(q url.Values, between func()) (all []queryapi.AlertIncident) {
	h.t.Helper()
	for pages := 0; pages < 100; pages++ {
		var page queryapi.AlertIncidents
		h.get(incidentsOfA, q, &page)
		all = append(all, page.Items...)
		if page.NextCursor == nil {
			return all
		}
		between()
		q.Set("cursor", *page.NextCursor)
	}
	h.t.Fatal("no end")
	return nil
}

// TestIncidentPagesAreAllOfThemWhileOthersBegin: many begin at one instant,
// some go on between pages, and another workspace has its own.
func TestIncidentPagesAreAllOfThemWhileOthersBegin(t *testing.T) {
	t.Parallel()
	h := newAlerting(t)
	begin := h.now.Truncate(time.Hour).Add(-10 * time.Hour)
	kinds := []string{"balance_below", "quota_used"}
	var story, foreign []storyIncident
	for n := range 60 {
		i := storyIncident{
			id: fmt.Sprintf("inc-%02d", n*37%60), rule: fmt.Sprint("rule-", n%3), kind: kinds[n%2], began: begin.Add(time.Duration(n/4) * time.Minute),
			states: [][]string{{"pending"}, {"pending", "firing"}, {"firing"}, {"pending", "firing", "resolved"}, {"pending", "resolved"}}[n%5],
		}
		if n%2 == 1 {
			i.subject = fmt.Sprint("cmp_", n%4)
		}
		story = append(story, i)
		i.id = "foreign-" + i.id
		foreign = append(foreign, i)
	}
	h.record("ws_a", story...)
	h.record("ws_b", foreign...)
	slices.SortFunc(story, func(a, b storyIncident) int {
		return cmp.Or(b.began.Compare(a.began), strings.Compare(b.id, a.id))
	})
	last := func(i storyIncident) string { return i.states[len(i.states)-1] }
	for _, q := range []url.Values{{}, {"state": {"firing"}}, {"rule_id": {"rule-1"}, "limit": {"2"}}, {"incident_id": {"inc-37"}}} {
		var page queryapi.AlertIncidents
		h.get(incidentsOfA, q, &page)
		want, items := map[string]int{}, 0
		for _, i := range story {
			if (q.Get("rule_id") == "" || q.Get("rule_id") == i.rule) && (q.Get("incident_id") == "" || q.Get("incident_id") == i.id) {
				want[last(i)]++
				if state := q.Get("state"); state == "" || state == last(i) {
					items++
				}
			}
		}
		if limit := q.Get("limit"); limit != "" {
			items = 2
		}
		if c := page.Counts; c != (queryapi.AlertIncidentCounts{Pending: want["pending"], Firing: want["firing"], Resolved: want["resolved"]}) || len(page.Items) != items {
			t.Errorf("%v: %+v, %d items; want %v, %d", q, c, len(page.Items), want, items)
		}
	}
	arrived := 0
	for name, c := range map[string]struct {
		q    url.Values
		keep func(storyIncident) bool
	}{
		"all":      {url.Values{}, func(storyIncident) bool { return true }},
		"firing":   {url.Values{"state": {"firing"}}, func(i storyIncident) bool { return last(i) == "firing" }},
		"resolved": {url.Values{"state": {"resolved"}}, func(i storyIncident) bool { return last(i) == "resolved" }},
		"pending":  {url.Values{"state": {"pending"}}, func(i storyIncident) bool { return last(i) == "pending" }},
		"rule":     {url.Values{"rule_id": {"rule-1"}}, func(i storyIncident) bool { return i.rule == "rule-1" }},
		"kind":     {url.Values{"kind": {"quota_used"}}, func(i storyIncident) bool { return i.kind == "quota_used" }},
		"subject":  {url.Values{"subject": {"cmp_3"}}, func(i storyIncident) bool { return i.subject == "cmp_3" }},
		"no one's": {url.Values{"subject": {""}}, func(i storyIncident) bool { return i.subject == "" }},
		"range": {
			url.Values{"from": {begin.Add(3 * time.Minute).Format(time.RFC3339)}, "to": {begin.Add(7 * time.Minute).Format(time.RFC3339)}},
			func(i storyIncident) bool {
				return !i.began.Before(begin.Add(3*time.Minute)) && i.began.Before(begin.Add(7*time.Minute))
			},
		},
	} {
		var want []string
		for _, i := range story {
			if c.keep(i) {
				want = append(want, i.id+" "+last(i))
			}
		}
		c.q.Set("limit", "7")
		var got []string
		for _, i := range h.incidentPages(c.q, func() {
			arrived++
			h.record("ws_a", storyIncident{
				id: fmt.Sprint("late-", arrived), rule: "rule-1", kind: "quota_used", subject: "cmp_3",
				began: begin.Add(time.Hour + time.Duration(arrived)*time.Minute), states: []string{"firing"},
			})
		}) {
			if !strings.HasPrefix(i.IncidentID, "late-") { // of a listing before
				got = append(got, i.IncidentID+" "+string(i.State))
			}
		}
		if !slices.Equal(got, want) || len(want) < 5 {
			t.Errorf("%s:\n got %v\nwant %v", name, got, want)
		}
	}
	if arrived == 0 {
		t.Error("nothing arrived")
	}

	// An incident that goes on between two pages keeps its place.
	q, went := url.Values{"limit": {"9"}}, 0
	before := len(story) + arrived
	all := h.incidentPages(q, func() {
		i := story[len(story)-1-went]
		went++
		if last(i) != "resolved" {
			h.record("ws_a", storyIncident{i.id, i.rule, i.kind, i.subject, i.began.Add(20 * time.Minute), []string{"resolved"}})
		}
	})
	ids := map[string]bool{}
	for _, i := range all {
		ids[i.IncidentID] = true
	}
	if len(all) != before || len(ids) != before || went == 0 {
		t.Errorf("%d items, %d ids, want %d", len(all), len(ids), before)
	}
	if r := h.do(http.MethodGet, incidentsOfA+"?"+url.Values{"cursor": {q.Get("cursor")}, "state": {"firing"}}.Encode()); h.problemOf(r).Code != queryapi.CodeInvalidParameter {
		t.Errorf("the cursor of another listing: %d %s", r.status, r.body)
	}
}

// TestIncidentSaysWhatHappenedWhoSawItAndWhoWasTold.
func TestIncidentSaysWhatHappenedWhoSawItAndWhoWasTold(t *testing.T) {
	t.Parallel()
	h := newAlerting(t)
	h.write(http.MethodPost, rulesOfA, `{"rule_id":"mine","kind":"quota_used","name":"Half","params":{"percent":50}}`)
	began := h.now.Truncate(time.Hour)
	h.record("ws_a",
		storyIncident{"one", "mine", "quota_used", "cmp_7", began, []string{"pending", "firing", "resolved"}},
		storyIncident{"two", "default-balance", "balance_below", "", began.Add(-time.Hour), []string{"firing"}},
		storyIncident{"three", "gone", "balance_below", "", began.Add(-2 * time.Hour), []string{"firing"}})
	h.record("ws_b", storyIncident{"foreign", "mine", "quota_used", "", began, []string{"firing"}})
	h.attempts("ws_a",
		attempt{"one", "firing", "https://a.example/x/private", "standard", 1, "retrying", began},
		attempt{"one", "firing", "https://a.example/x/private", "standard", 2, "delivered", began.Add(time.Minute)},
		attempt{"one", "firing", "https://b.example/x/private", "slack", 1, "retrying", began},
		attempt{"one", "firing", "https://b.example/x/private", "slack", 2, "retrying", began.Add(time.Minute)},
		attempt{"one", "firing", "credits.alerts", "topic", 1, "delivered", began},
		attempt{"one", "resolved", "https://a.example/x/private", "standard", 0, "silenced", began.Add(2 * time.Minute)},
		attempt{"two", "firing", "https://c.example/", "standard", 5, "failed", began})

	h.campaign("ws_a", "cmp_7", "Seven", "ACTIVE", began, nil)
	const note = "on it: 💳 'quoted' \\ \"so\""
	key := h.key("ws_a", `"alerts:write"`)
	var seen queryapi.AlertAcknowledgement
	for i, step := range []struct {
		id, token, body string
		status          int
	}{
		{"one", testToken, `{}`, 200},
		{"foreign", testToken, `{}`, 404},
		{"none", testToken, `{}`, 404},
		{"one", h.key("ws_a", `"credits:read"`).Secret, `{}`, 403},
		{"one", testToken, `{"note":"` + strings.Repeat("x", 1001) + `"}`, 422},
		{"one", key.Secret, jsonOf(map[string]string{"note": note}), 200},
	} {
		h.now = h.now.Add(time.Second)
		r := h.call(h.server, step.token, http.MethodPost, incidentsOfA+"/"+step.id+"/acknowledge", step.body)
		if r.status != step.status || r.status == 404 && h.problemOf(r).Code != queryapi.CodeIncidentNotFound {
			t.Errorf("step %d: %d %s", i, r.status, r.body)
		}
		if err := json.Unmarshal(r.body, &seen); err != nil {
			t.Errorf("%s: %v", r.body, err)
		}
	}
	if want := (queryapi.AlertAcknowledgement{By: "key:" + key.KeyID, At: queryapi.Instant(h.now.Format("2006-01-02T15:04:05.000Z")), Note: note}); seen != want {
		t.Errorf("acknowledged: %+v, want %+v", seen, want)
	}

	got := h.incidentPages(url.Values{}, func() {})
	if len(got) != 3 {
		t.Fatalf("%+v", got)
	}
	one, two, three := got[0], got[1], got[2]
	var changes []string
	for n, c := range one.Changes {
		at := began.Add(time.Duration(n) * time.Minute)
		changes = append(changes, fmt.Sprint(c.State, " ", c.Message, " ", string(c.Detail)))
		if c.At != queryapi.Instant(at.Format(time.RFC3339)) || c.RecordedAt != queryapi.Instant(at.Add(time.Second).Format(time.RFC3339)) {
			t.Errorf("%+v", c)
		}
	}
	if want := []string{`pending one is pending {"n":0}`, `firing one is firing {"n":1}`, `resolved one is resolved {"n":2}`}; !slices.Equal(changes, want) {
		t.Errorf("%q, want %q", changes, want)
	}
	if one.IncidentID != "one" || one.State != "resolved" || one.Message != "one is resolved" || string(one.Detail) != `{"n":2}` || one.Subject != "cmp_7" ||
		one.BeganAt != queryapi.Instant(began.Format(time.RFC3339)) || one.RuleRevision != 3 || one.Sequence != 2 || one.Kind != "quota_used" {
		t.Errorf("%+v", one)
	}
	if one.Acknowledged == nil || *one.Acknowledged != seen || two.Acknowledged != nil {
		t.Errorf("%+v, %+v", one.Acknowledged, two.Acknowledged)
	}
	if want := (queryapi.AlertDeliveryCounts{Delivered: 1, Retrying: 1, Silenced: 1}); one.Deliveries != want {
		t.Errorf("%+v, want %+v", one.Deliveries, want)
	}
	if want := (queryapi.AlertDeliveryCounts{Failed: 1}); two.Deliveries != want || three.Deliveries != (queryapi.AlertDeliveryCounts{}) {
		t.Errorf("%+v, %+v", two.Deliveries, three.Deliveries)
	}
	if one.RuleName == nil || *one.RuleName != "Half" || two.RuleName == nil || *two.RuleName != "A tenth of the credits is left" || three.RuleName != nil {
		t.Errorf("%v %v %v", one.RuleName, two.RuleName, three.RuleName)
	}
	for acked, want := range map[string]string{"true": "one", "false": "two three"} {
		var page queryapi.AlertIncidents
		h.get(incidentsOfA, url.Values{"acknowledged": {acked}}, &page)
		var got []string
		for _, i := range page.Items {
			got = append(got, i.IncidentID)
		}
		if strings.Join(got, " ") != want || page.Counts.Resolved+page.Counts.Firing != len(got) {
			t.Errorf("acknowledged %s: %q, %+v; want %s", acked, got, page.Counts, want)
		}
	}
	if one.SubjectName == nil || *one.SubjectName != "Seven" || two.SubjectName != nil {
		t.Errorf("%v %v", one.SubjectName, two.SubjectName)
	}
	var told queryapi.AlertDeliveries
	h.get("/v1/workspaces/ws_a/alerts/deliveries?incident_id=two", nil, &told)
	if len(told.Items) != 1 || told.Items[0].RuleID != "rule-two" || told.Items[0].RuleName != nil {
		t.Errorf("%+v", told.Items)
	}
	var acks uint64
	if err := h.conn.QueryRow(t.Context(), "SELECT count() FROM audit_log WHERE action = 'alert_incident.acknowledge' AND workspace_id = 'ws_a'").Scan(&acks); err != nil || acks != 2 {
		t.Errorf("%d audited (%v)", acks, err)
	}
}

func jsonOf(value any) string {
	text, _ := json.Marshal(value)
	return string(text)
}

// TestRulesSayHowTheyFare: default ones as well, by incidents of any revision.
func TestRulesSayHowTheyFare(t *testing.T) {
	t.Parallel()
	h := newAlerting(t)
	began := h.now.Truncate(time.Hour)
	h.record("ws_a",
		storyIncident{"one", "default-quota-used", "quota_used", "cmp_7", began, []string{"pending", "firing", "resolved"}},
		storyIncident{"two", "default-quota-used", "quota_used", "cmp_8", began.Add(time.Minute), []string{"firing"}},
		storyIncident{"three", "default-quota-used", "quota_used", "cmp_9", began.Add(-time.Minute), []string{"firing"}},
		storyIncident{"four", "default-quota-used", "quota_used", "cmp_6", began, []string{"pending"}},
		storyIncident{"five", "default-runway", "runway_below", "", began, []string{"pending"}},
		storyIncident{"six", "off", "balance_below", "", began, []string{"firing", "resolved"}})
	h.record("ws_b", storyIncident{"foreign", "default-balance", "balance_below", "", began, []string{"firing"}})
	written := h.write(http.MethodPost, rulesOfA, `{"rule_id":"off","kind":"balance_below","name":"Off","enabled":false,"params":{"credits":1}}`)
	if written.Status != nil {
		t.Errorf("of a write %+v", written.Status)
	}
	evaluatedAt, at := queryapi.Instant(""), func(i queryapi.Instant) *queryapi.Instant { return &i }
	check := func(stale bool) {
		t.Helper()
		for id, want := range map[string]queryapi.AlertRuleStatus{
			"default-quota-used": {State: "firing", Firing: 2, Pending: 1, LastFiredAt: at("2026-11-22T09:01:00Z")},
			"default-runway":     {State: "pending", Pending: 1},
			"default-balance":    {State: "quiet"},
			"off":                {State: "disabled", LastFiredAt: at("2026-11-22T09:00:00Z")},
		} {
			if id != "off" {
				if want.Stale = stale; evaluatedAt != "" {
					want.EvaluatedAt = &evaluatedAt
				}
			}
			var one queryapi.AlertRule
			h.get(rulesOfA+"/"+id, nil, &one)
			if listed := h.rules("ws_a")[id]; jsonOf(one.Status) != jsonOf(want) || jsonOf(listed) != jsonOf(one) {
				t.Errorf("%s: %s, want %s\nlisted %s", id, jsonOf(one), jsonOf(want), jsonOf(listed))
			}
		}
	}
	check(true) // nobody knows how far it is
	h.progress("ws_a", 1, began)
	evaluatedAt = "2026-11-22T09:00:00Z"
	check(false)
	h.now = began.Add(time.Minute)
	check(false)
	h.now = h.now.Add(time.Millisecond)
	check(true)
}

// attempt is a row of alert_deliveries.
type attempt struct {
	incident, state, destination, format string
	n                                    uint16
	outcome                              string
	at                                   time.Time
}

func (h *harness) attempts(workspace string, attempts ...attempt) {
	h.t.Helper()
	batch, err := h.conn.PrepareBatch(h.t.Context(), `INSERT INTO alert_deliveries (workspace_id, webhook_id, incident_id, state, rule_id, rule_version, destination, format, attempt, at, outcome, status, error, next_attempt_at, took_ms)`)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, a := range attempts {
		status, reason, next := uint16(200), "", (*time.Time)(nil)
		if a.outcome != "delivered" {
			status, reason = 0, "why not"
		}
		if a.outcome == "retrying" {
			at := a.at.Add(time.Minute)
			next = &at
		}
		if err := batch.Append(workspace, a.incident+"/"+a.state, a.incident, a.state, "rule-"+a.incident, uint32(4), a.destination, a.format, a.n, a.at,
			a.outcome, status, reason, next, uint32(12)); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		h.t.Fatal(err)
	}
}

// TestDeliveryPagesAreAllOfThemWhileOthersAreMade, and whole URLs are for those
// who may write rules.
func TestDeliveryPagesAreAllOfThemWhileOthersAreMade(t *testing.T) {
	t.Parallel()
	h := newAlerting(t)
	begin := h.now.Truncate(time.Hour).Add(-2 * time.Hour)
	var story, foreign []attempt
	outcomes := []string{"delivered", "retrying", "refused"}
	for n := range 50 {
		a := attempt{fmt.Sprint("inc-", n%5), "firing", fmt.Sprintf("https://h%d.example/private?n=%d", n%7, n), "standard", uint16(n%3 + 1), outcomes[n%3], begin.Add(time.Duration(n/10) * time.Minute)}
		if n%10 == 0 {
			a.destination, a.format = "credits.alerts", "topic"
		}
		story = append(story, a)
		a.incident = "foreign"
		foreign = append(foreign, a)
	}
	h.attempts("ws_a", story...)
	h.attempts("ws_b", foreign...)
	const target = "/v1/workspaces/ws_a/alerts/deliveries"
	line := func(incident, destination, outcome string) string {
		return incident + " " + destination + " " + outcome
	}
	arrived := 0
	for name, c := range map[string]struct {
		q    url.Values
		keep func(attempt) bool
	}{
		"all":      {url.Values{}, func(attempt) bool { return true }},
		"incident": {url.Values{"incident_id": {"inc-2"}}, func(a attempt) bool { return a.incident == "inc-2" }},
		"rule":     {url.Values{"rule_id": {"rule-inc-3"}}, func(a attempt) bool { return a.incident == "inc-3" }},
		"outcome":  {url.Values{"outcome": {"refused"}}, func(a attempt) bool { return a.outcome == "refused" }},
		"message":  {url.Values{"webhook_id": {"inc-1/firing"}, "state": {"firing"}}, func(a attempt) bool { return a.incident == "inc-1" }},
		"time": {url.Values{"from": {begin.Add(time.Minute).Format(time.RFC3339)}, "to": {begin.Add(3 * time.Minute).Format(time.RFC3339)}},
			func(a attempt) bool {
				return !a.at.Before(begin.Add(time.Minute)) && a.at.Before(begin.Add(3*time.Minute))
			}},
	} {
		var want, got []string
		for _, a := range story {
			if c.keep(a) {
				want = append(want, line(a.incident, a.destination, a.outcome))
			}
		}
		c.q.Set("limit", "4")
		var lastAt queryapi.Instant = "9"
		for pages := 0; pages < 100; pages++ {
			var page queryapi.AlertDeliveries
			h.get(target, c.q, &page)
			for _, d := range page.Items {
				if d.At > lastAt {
					t.Errorf("%s: %s after %s", name, d.At, lastAt)
				}
				lastAt = d.At
				if strings.HasPrefix(d.IncidentID, "late") {
					continue // of a listing before
				}
				got = append(got, line(d.IncidentID, d.Destination, string(d.Outcome)))
				if d.WebhookID != d.IncidentID+"/firing" || (d.Status == nil) != (d.Outcome != "delivered") || (d.Error == "") != (d.Outcome == "delivered") ||
					(d.NextAttemptAt != nil) != (d.Outcome == "retrying") || d.RuleVersion != 4 || d.TookMS != 12 || d.Attempt == 0 {
					t.Errorf("%+v", d)
				}
			}
			if page.NextCursor == nil {
				break
			}
			arrived++
			h.attempts("ws_a", attempt{fmt.Sprint("late-", arrived), "firing", "https://late.example/", "standard", 1, "refused", begin.Add(time.Hour + time.Duration(arrived)*time.Second)})
			c.q.Set("cursor", *page.NextCursor)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) || len(want) < 5 {
			t.Errorf("%s:\n got %v\nwant %v", name, got, want)
		}
	}
	r := h.call(h.server, h.key("ws_a", `"credits:read"`).Secret, http.MethodGet, target+"?limit=1000", "")
	if text := string(r.body); r.status != http.StatusOK || strings.Contains(text, "private") || !strings.Contains(text, `"https://h1.example/…"`) || !strings.Contains(text, `"credits.alerts"`) {
		t.Errorf("for a reader: %d %s", r.status, r.body)
	}
}
