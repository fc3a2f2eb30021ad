package queryapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

var testMaster = bytes.Repeat([]byte("master! "), 4)

const rulesOfA = "/v1/workspaces/ws_a/alerts/rules"

// newAlerting makes a harness with two workspaces, whose server can sign for
// webhooks.
func newAlerting(t *testing.T) *harness {
	t.Helper()
	h := newHarness(t, at(t, "2026-11-22T09:00:30.123Z"))
	h.insert(event{"ws_a", "", "", h.now, 1}, event{"ws_b", "", "", h.now, 1})
	h.server = h.alertServer()
	return h
}

func (h *harness) alertServer() *queryapi.Server {
	return h.serverWith(func(c *queryapi.Config) { c.WebhookSecret, c.Registerer = testMaster, prometheus.NewRegistry() })
}

// call sends a request and holds the answer to the document.
func (h *harness) call(server *queryapi.Server, token, method, target, body string, headers ...string) response {
	h.t.Helper()
	request := httptest.NewRequest(method, target, strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	recorder := httptest.NewRecorder()
	server.Handler().ServeHTTP(recorder, request)
	r := response{recorder.Code, recorder.Result().Header, recorder.Body.Bytes()}
	h.hold(method, target, r)
	return r
}

// write sends a request with the token and decodes a rule.
func (h *harness) write(method, target, body string, headers ...string) (rule queryapi.WrittenAlertRule) {
	h.t.Helper()
	r := h.call(h.server, testToken, method, target, body, headers...)
	if r.status != http.StatusOK && r.status != http.StatusCreated {
		h.t.Fatalf("%s %s %s: %d %s\nlog: %s", method, target, body, r.status, r.body, h.log)
	}
	if err := json.Unmarshal(r.body, &rule); err != nil {
		h.t.Fatalf("%s: %v", r.body, err)
	}
	if want := fmt.Sprintf("%q", fmt.Sprint(rule.Version)); r.header.Get("ETag") != want {
		h.t.Errorf("ETag %s of version %s", r.header.Get("ETag"), want)
	}
	return rule
}

func (h *harness) rules(workspace string) map[string]queryapi.AlertRule {
	h.t.Helper()
	var list queryapi.AlertRules
	h.get("/v1/workspaces/"+workspace+"/alerts/rules", nil, &list)
	found := map[string]queryapi.AlertRule{}
	for _, rule := range list.Items {
		found[rule.RuleID] = rule
	}
	if len(found) != len(list.Items) {
		h.t.Errorf("an id is there twice: %+v", list.Items)
	}
	return found
}

// TestAlertRulesAreTheDefaultOnesUntilSomebodyWritesThem: what is in force is
// compared with a map that is written to beside.
func TestAlertRulesAreTheDefaultOnesUntilSomebodyWritesThem(t *testing.T) {
	t.Parallel()
	h := newAlerting(t)
	want := map[string]string{} // version, revision, kind, name, enabled, params
	line := func(version, revision uint32, kind, name string, enabled bool, params string) string {
		return fmt.Sprint(version, " ", revision, " ", kind, " ", name, " ", enabled, " ", params)
	}
	defaults := map[string]string{}
	for _, r := range schemas.DefaultAlertRules("ws_a") {
		defaults[r.RuleID] = line(0, 1, string(r.Kind), r.Name, true, r.Params.String())
	}
	maps.Copy(want, defaults)
	check := func(after string) {
		t.Helper()
		got := map[string]string{}
		for id, r := range h.rules("ws_a") {
			got[id] = line(r.Version, r.Revision, string(r.Kind), r.Name, r.Enabled, r.Params.String())
			if r.Default != (r.Version == 0) || (r.UpdatedBy != nil) != (r.Version > 0) || (r.UpdatedAt != nil) != (r.Version > 0) {
				t.Errorf("after %s: %+v", after, r)
			}
			if strings.HasPrefix(id, "default-quota") {
				continue // as the others
			}
			var one queryapi.AlertRule
			h.get(rulesOfA+"/"+id, nil, &one)
			if a, b := fmt.Sprintf("%+v", flat(one)), fmt.Sprintf("%+v", flat(r)); a != b {
				t.Errorf("after %s: alone %s, in the list %s", after, a, b)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("after %s:\n got %v\nwant %v", after, got, want)
		}
	}
	check("nothing")
	if len(defaults) != 10 {
		t.Errorf("%d default rules", len(defaults))
	}

	h.write(http.MethodPut, rulesOfA+"/default-balance", `{"kind":"balance_below","name":"A fifth is left","params":{"percent":20}}`)
	want["default-balance"] = line(1, 2, "balance_below", "A fifth is left", true, `{"percent":20,"for":0,"hysteresis":10}`)
	check("a default one was written")

	made := h.write(http.MethodPost, rulesOfA, `{"kind":"quota_used","name":"Half","params":{"percent":50,"campaign_id":"cmp_7","hysteresis":5},"enabled":false}`)
	want[made.RuleID] = line(1, 1, "quota_used", "Half", false, `{"percent":50,"campaign_id":"cmp_7","for":0,"hysteresis":5}`)
	h.write(http.MethodPost, rulesOfA, `{"rule_id":"mine","kind":"burn_rate","name":"Fast","params":{"windows":[{"long":"6h","short":"30m","factor":2.5}],"for":3}}`)
	want["mine"] = line(1, 1, "burn_rate", "Fast", true, `{"windows":[{"long":"6h","short":"30m","factor":2.5}],"for":3,"hysteresis":10}`)
	check("two were made")

	for _, id := range []string{"default-exhausted", "mine", "default-balance"} {
		if r := h.call(h.server, testToken, http.MethodDelete, rulesOfA+"/"+id, ""); r.status != http.StatusNoContent {
			t.Fatalf("%d %s", r.status, r.body)
		}
		delete(want, id)
		if r := h.do(http.MethodGet, rulesOfA+"/"+id); h.problemOf(r).Code != queryapi.CodeAlertRuleNotFound {
			t.Errorf("deleted: %d %s", r.status, r.body)
		}
		if r := h.call(h.server, testToken, http.MethodDelete, rulesOfA+"/"+id, ""); r.status != http.StatusNoContent {
			t.Errorf("again: %d %s", r.status, r.body)
		}
		if r := h.call(h.server, testToken, http.MethodPut, rulesOfA+"/"+id, `{"kind":"balance_below","name":"n","params":{"credits":"1"}}`); h.problemOf(r).Code != queryapi.CodeAlertRuleNotFound {
			t.Errorf("written although deleted: %d %s", r.status, r.body)
		}
	}
	check("three were deleted")

	h.write(http.MethodPost, rulesOfA, `{"rule_id":"default-exhausted","kind":"balance_below","name":"Gone","params":{"credits":0}}`)
	want["default-exhausted"] = line(2, 1, "balance_below", "Gone", true, `{"credits":"0","for":0,"hysteresis":10}`)
	h.write(http.MethodPost, rulesOfA, `{"rule_id":"mine","kind":"runway_below","name":"Soon","params":{"days":1.5}}`)
	want["mine"] = line(3, 2, "runway_below", "Soon", true, `{"days":1.5,"for":15,"hysteresis":10}`)
	check("two were made again")
	for _, id := range []string{"mine", "default-runway"} {
		if r := h.call(h.server, testToken, http.MethodPost, rulesOfA, `{"rule_id":"`+id+`","kind":"runway_below","name":"n","params":{"days":1}}`); h.problemOf(r).Code != queryapi.CodeAlertRuleExists {
			t.Errorf("made although it is there: %d %s", r.status, r.body)
		}
	}
	if got := len(h.rules("ws_b")); got != len(defaults) {
		t.Errorf("another workspace has %d rules", got)
	}
}

// flat has no pointers, for comparing.
func flat(r queryapi.AlertRule) string {
	text, _ := json.Marshal(r)
	return string(text)
}

func TestAlertRuleErrorsNameTheField(t *testing.T) {
	t.Parallel()
	h := newAlerting(t)
	for body, want := range map[string]string{
		`{"kind":"balance_below","name":"n","params":{"percent":0}}`:                                                                         "body.params.percent",
		`{"kind":"balance_below","name":"n"}`:                                                                                                "body.params.credits",
		`{"kind":"balance_below","name":"n","params":{"days":1,"factor":2}}`:                                                                 "body.params.days body.params.factor",
		`{"kind":"balance_below","name":" ","params":{"credits":"x","for":-1},"webhooks":[{"url":"ftp://a","format":1}]}`:                    "body.webhooks[0].format",
		`{"kind":"balance_below","name":" ","params":{"credits":"x","for":-1},"webhooks":[{"url":"ftp://a","format":"x"}]}`:                  "body.name body.params.credits body.params.for body.webhooks[0].format body.webhooks[0].url",
		`{"kind":"burn_rate","name":"n","params":{"windows":[{"long":"1h","short":"5m","factor":1},{"long":"1h","short":"2h","factor":0}]}}`: "body.params.windows[1].factor",
		`{"kind":"none","name":"n"}`:                                                                                   "body.kind",
		`{"name":"n"}`:                                                                                                 "body.kind",
		`{"kind":"freshness","name":"n"}`:                                                                              "body.kind",
		`{"kind":"runway_below","params":{"days":1}}`:                                                                  "body.name",
		`{"kind":"runway_below","name":7,"params":{"days":1}}`:                                                         "body.name",
		`{"kind":"runway_below","name":"n","params":[]}`:                                                               "body.params",
		`{"kind":"runway_below","name":"n","params":{"days":1},"enabled":"yes"}`:                                       "body.enabled",
		`{"kind":"runway_below","name":"n","params":{"days":1},"Name":"m"}`:                                            "body.Name",
		`{"kind":"runway_below","name":"n","params":{"days":1},"name":"m"}`:                                            "body.name",
		`{"kind":"runway_below","name":"n","params":{"days":1},"webhooks":{}}`:                                         "body.webhooks",
		`{"kind":"runway_below","name":"n","params":{"days":1},"rule_id":"no id"}`:                                     "body.rule_id",
		`{"kind":"runway_below","name":"n","params":{"days":1},"version":3}`:                                           "body.version",
		`{"kind":"runway_below","name":"n","params":{"days":1},"version":-3}`:                                          "body.version",
		`{"kind":"runway_below","name":"n","params":{"days":1},"webhooks":[{"url":"https://u:p@a","format":"slack"}]}`: "body.webhooks[0].url",
		`{`:  "body",
		`[]`: "body",
		`7`:  "body",
	} {
		r := h.call(h.server, testToken, http.MethodPost, rulesOfA, body)
		p := h.problemOf(r)
		var got []string
		for _, e := range p.Errors {
			got = append(got, e.Location)
		}
		slices.Sort(got)
		if text := strings.Join(got, " "); r.status != http.StatusUnprocessableEntity || p.Code != queryapi.CodeInvalidParameter || text != want {
			t.Errorf("%s: %d %s\n got %s\nwant %s", body, r.status, r.body, text, want)
		}
	}
	good := `{"kind":"runway_below","name":"n","params":{"days":1}}`
	if r := h.call(h.server, testToken, http.MethodPut, rulesOfA+"/no%20id", good); h.problemOf(r).Code != queryapi.CodeAlertRuleNotFound {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := h.call(h.server, testToken, http.MethodPost, rulesOfA, good, "Content-Type", "text/plain"); r.status != http.StatusUnsupportedMediaType {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := h.call(h.server, testToken, http.MethodPost, rulesOfA, ""); r.status != http.StatusBadRequest {
		t.Errorf("%d %s", r.status, r.body)
	}
	for _, until := range []string{`"2026-11-22T09:00:30Z"`, `"soon"`, `""`, `7`} {
		r := h.call(h.server, testToken, http.MethodPost, rulesOfA+"/default-runway/silence", `{"until":`+until+`}`)
		if p := h.problemOf(r); p.Code != queryapi.CodeInvalidParameter || len(p.Errors) == 0 || p.Errors[0].Location != "body.until" {
			t.Errorf("%s: %d %s", until, r.status, r.body)
		}
	}
	if got := h.rules("ws_a"); len(got) != len(schemas.DefaultAlertRules("")) || got["default-runway"].Version != 0 {
		t.Errorf("something was written: %v", got)
	}
}

// TestAlertRuleRevisionRisesOnlyWithWhatIsEvaluated, and silence and secret
// survive what does not concern them.
func TestAlertRuleRevisionRisesOnlyWithWhatIsEvaluated(t *testing.T) {
	t.Parallel()
	h := newAlerting(t)
	const hook = `,"webhooks":[{"url":"https://hooks.example.com/s/1","format":"slack"}]`
	h.write(http.MethodPost, rulesOfA, `{"rule_id":"r","kind":"balance_below","name":"n","params":{"percent":10}}`)
	until := `"2026-12-01T00:00:00Z"`
	for i, step := range []struct {
		method, path, body string
		revision           uint32
		silenced           bool
	}{
		{"PUT", "", `{"kind":"balance_below","name":"other","params":{"percent":10}}`, 1, false},
		{"PUT", "", `{"kind":"balance_below","name":"other","params":{"percent":10.0,"hysteresis":10,"for":0}}`, 1, false},
		{"PUT", "", `{"kind":"balance_below","name":"other","params":{"percent":10}` + hook + `}`, 1, false},
		{"POST", "/silence", `{"until":` + until + `}`, 1, true},
		{"POST", "/rotate-secret", ``, 1, true},
		{"PUT", "", `{"kind":"balance_below","name":"other","params":{"percent":10},"enabled":false` + hook + `}`, 1, true},
		{"PUT", "", `{"kind":"balance_below","name":"other","params":{"percent":11}` + hook + `}`, 2, true},
		{"PUT", "", `{"kind":"balance_below","name":"other","params":{"percent":11,"for":1}` + hook + `}`, 3, true},
		{"POST", "/silence", `{"until":null}`, 3, false},
		{"PUT", "", `{"kind":"quota_used","name":"other","params":{"percent":11,"for":1}` + hook + `}`, 4, false},
		{"PUT", "", `{"kind":"quota_used","name":"other","params":{"percent":11,"for":1}}`, 4, false},
	} {
		rule := h.write(step.method, rulesOfA+"/r"+step.path, step.body)
		if rule.Version != uint32(i+2) || rule.Revision != step.revision || (rule.SilencedUntil != nil) != step.silenced {
			t.Errorf("step %d: %+v", i, rule)
		}
		if rotated := i >= 4; (rule.SecretRotatedAt != nil) != rotated {
			t.Errorf("step %d: rotated at %v", i, rule.SecretRotatedAt)
		}
	}
}

func TestAlertRuleIsWrittenOverTheVersionThatTheCallerKnows(t *testing.T) {
	t.Parallel()
	h := newAlerting(t)
	const good = `"kind":"runway_below","name":"n","params":{"days":1}`
	path := rulesOfA + "/default-runway"
	for i, step := range []struct {
		method, ifMatch, body string
		status                int
	}{
		{"PUT", `"1"`, "{" + good + "}", 409},
		{"PUT", ``, `{"version":1,` + good + "}", 409},
		{"PUT", `"0"`, `{"version":0,` + good + "}", 200}, // now 1
		{"PUT", `"0"`, "{" + good + "}", 409},
		{"PUT", `"0", W/"1"`, "{" + good + "}", 200}, // now 2
		{"PUT", `"2"`, `{"version":1,` + good + "}", 409},
		{"PUT", `*`, `{"version":2,` + good + "}", 200}, // now 3
		{"PUT", `junk`, "{" + good + "}", 409},
		{"PUT", ``, "{" + good + "}", 200}, // now 4
		{"DELETE", `"3"`, "", 409},
		{"DELETE", `"4"`, "", 204},
	} {
		r := h.call(h.server, testToken, step.method, path, step.body, "If-Match", step.ifMatch)
		if r.status != step.status || r.status == 409 && h.problemOf(r).Code != queryapi.CodeAlertRuleConflict {
			t.Errorf("step %d: %d %s", i, r.status, r.body)
		}
	}
}

// TestOfAlertRuleWritesAtOnceOneStands: two servers, and many at once on each.
// Who is told of success finds the own words in that version, and nobody finds
// them who is not.
func TestOfAlertRuleWritesAtOnceOneStands(t *testing.T) {
	t.Parallel()
	h := newAlerting(t)
	servers := []*queryapi.Server{h.server, h.alertServer()}
	h.write(http.MethodPost, rulesOfA, `{"rule_id":"r","kind":"runway_below","name":"n","params":{"days":1}}`)
	type won struct {
		version uint32
		name    string
	}
	var (
		mu        sync.Mutex
		wins      []won
		conflicts int
		group     sync.WaitGroup
	)
	const writers, rounds = 4, 3
	for w := range writers {
		group.Go(func() {
			for i := range rounds {
				name := fmt.Sprint("writer ", w, " round ", i)
				r := h.call(servers[w%2], testToken, http.MethodPut, rulesOfA+"/r", `{"kind":"runway_below","name":"`+name+`","params":{"days":1}}`)
				var rule queryapi.AlertRule
				_ = json.Unmarshal(r.body, &rule)
				mu.Lock()
				switch {
				case r.status == http.StatusOK && rule.Name == name:
					wins = append(wins, won{rule.Version, name})
				case r.status == http.StatusConflict:
					conflicts++
				default:
					t.Errorf("%d %s", r.status, r.body)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	slices.SortFunc(wins, func(a, b won) int { return int(a.version) - int(b.version) })
	rows, err := h.conn.Query(t.Context(), "SELECT version, name FROM alert_rules WHERE workspace_id = 'ws_a' AND version > 1 ORDER BY version")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var stand []won
	for rows.Next() {
		var row won
		if err := rows.Scan(&row.version, &row.name); err != nil {
			t.Fatal(err)
		}
		stand = append(stand, row)
	}
	if err := rows.Err(); err != nil || !slices.Equal(wins, stand) || len(wins)+conflicts != writers*rounds || int(stand[len(stand)-1].version) != len(stand)+1 {
		t.Errorf("won: %v\nstand: %v\nconflicts: %d (%v)", wins, stand, conflicts, err)
	}
	if conflicts == 0 {
		t.Error("no two were at once: nothing is tested")
	}
}

// leaving is a caller that goes away when a statement begins.
type leaving struct {
	driver.Conn
	when  string
	leave context.CancelFunc
}

func (l *leaving) PrepareBatch(ctx context.Context, statement string, options ...driver.PrepareBatchOption) (driver.Batch, error) {
	if strings.Contains(statement, l.when) {
		l.leave()
	}
	return l.Conn.PrepareBatch(ctx, statement, options...)
}

func TestAlertRuleIsWrittenAlsoIfTheCallerGoesAway(t *testing.T) {
	t.Parallel()
	h := newAlerting(t)
	for i, when := range []string{"INSERT INTO audit_log", "INSERT INTO alert_rules"} {
		ctx, cancel := context.WithCancel(t.Context())
		server := h.serverWith(func(c *queryapi.Config) {
			c.WebhookSecret, c.Registerer, c.ClickHouse = testMaster, prometheus.NewRegistry(), &leaving{h.conn, when, cancel}
		})
		id := fmt.Sprint("r", i)
		request := httptest.NewRequest(http.MethodPost, rulesOfA, strings.NewReader(`{"rule_id":"`+id+`","kind":"runway_below","name":"n","params":{"days":1}}`)).WithContext(ctx)
		request.Header.Set("Authorization", "Bearer "+testToken)
		request.Header.Set("Content-Type", "application/json")
		server.Handler().ServeHTTP(httptest.NewRecorder(), request)
		if ctx.Err() == nil {
			t.Fatal("nobody went away")
		}
		if rule, there := h.rules("ws_a")[id]; !there || rule.Version != 1 {
			t.Errorf("gone at %s: %+v", when, rule)
		}
	}
}

// TestSecretsOfAlertRulesAreShownWhenMadeAndNowhereElse: neither secrets nor
// what is behind the host of a webhook.
func TestSecretsOfAlertRulesAreShownWhenMadeAndNowhereElse(t *testing.T) {
	t.Parallel()
	h := newAlerting(t)
	const (
		path   = "/T0/B0/veryprivate"
		target = "https://hooks.example.com" + path + "?key=alsoprivate"
		hook   = `,"webhooks":[{"url":"` + target + `","format":"slack"}]}`
		body   = `{"kind":"runway_below","name":"n","params":{"days":1}` + hook
	)
	secret := func(id string, version uint32) string { return schemas.WebhookSecret(testMaster, "ws_a", id, version) }
	shown := func(what string, rule queryapi.WrittenAlertRule, want string) {
		t.Helper()
		got := ""
		if rule.Secret != nil {
			got = *rule.Secret
		}
		if got != want {
			t.Errorf("%s: secret %q, want %q", what, got, want)
		}
		if len(rule.Webhooks) == 1 && rule.Webhooks[0].URL != target {
			t.Errorf("%s: %+v", what, rule.Webhooks)
		}
	}
	shown("made", h.write("POST", rulesOfA, `{"rule_id":"r",`+body[1:]), secret("r", 1))
	shown("written", h.write("PUT", rulesOfA+"/r", body), "")
	shown("rotated", h.write("POST", rulesOfA+"/r/rotate-secret", ""), secret("r", 2))
	shown("a default one written first", h.write("PUT", rulesOfA+"/default-runway", body), secret("default-runway", 1))
	shown("again", h.write("PUT", rulesOfA+"/default-runway", body), "")
	shown("silenced", h.write("POST", rulesOfA+"/default-balance/silence", `{"until":null}`), "")
	shown("after silence", h.write("PUT", rulesOfA+"/default-balance", body), secret("default-balance", 1))
	if r := h.call(h.server, testToken, "DELETE", rulesOfA+"/r", ""); r.status != http.StatusNoContent {
		t.Fatalf("%d %s", r.status, r.body)
	}
	shown("made again", h.write("POST", rulesOfA, `{"rule_id":"r",`+body[1:]), secret("r", 3))

	reader, owner := h.key("ws_a", `"credits:read"`).Secret, h.key("ws_a", `"credits:read","alerts:write"`).Secret
	for who, token := range map[string]string{"reader": reader, "owner": owner} {
		for _, place := range []string{rulesOfA, rulesOfA + "/r"} {
			r := h.call(h.server, token, http.MethodGet, place, "")
			text := string(r.body)
			if r.status != http.StatusOK || strings.Contains(text, "whsec_") || strings.Contains(text, "private") != (who == "owner") ||
				strings.Contains(text, `"https://hooks.example.com/…"`) != (who == "reader") {
				t.Errorf("%s of %s: %d %s", place, who, r.status, r.body)
			}
		}
	}
	if r := h.call(h.server, reader, http.MethodPut, rulesOfA+"/r", body); h.problemOf(r).Code != queryapi.CodeForbidden {
		t.Errorf("%d %s", r.status, r.body)
	}
	var audited, told, stored uint64
	row := h.conn.QueryRow(t.Context(), `SELECT countIf(startsWith(action, 'alert_rule.')),
		countIf(position(detail, 'private') > 0 OR position(detail, 'whsec_') > 0) FROM audit_log`)
	if err := row.Scan(&audited, &told); err != nil || audited != 9 || told != 0 {
		t.Errorf("%d audited, of which %d tell (%v)", audited, told, err)
	}
	row = h.conn.QueryRow(t.Context(), "SELECT countIf(position(toString(tuple(*)), 'whsec_') > 0) FROM alert_rules")
	if err := row.Scan(&stored); err != nil || stored != 0 {
		t.Errorf("%d rows have a secret (%v)", stored, err)
	}
	if text := h.log.String(); strings.Contains(text, "private") || strings.Contains(text, "whsec_") {
		t.Errorf("log: %s", text)
	}

	// A server without the master has no rules with webhooks to make.
	poor := h.serverWith(func(c *queryapi.Config) { c.Registerer = prometheus.NewRegistry() })
	for method, place := range map[string]string{"POST": rulesOfA, "PUT": rulesOfA + "/r"} {
		if r := h.call(poor, testToken, method, place, body); h.problemOf(r).Code != queryapi.CodeWebhooksUnavailable {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	if r := h.call(poor, testToken, "POST", rulesOfA+"/r/rotate-secret", ""); h.problemOf(r).Code != queryapi.CodeWebhooksUnavailable {
		t.Errorf("%d %s", r.status, r.body)
	}
	r := h.call(poor, testToken, "POST", rulesOfA, strings.Replace(body, hook, "}", 1))
	if r.status != http.StatusCreated || !strings.Contains(string(r.body), `"secret":null`) {
		t.Errorf("%d %s", r.status, r.body)
	}
	h.server = poor
	if rule := h.write("POST", rulesOfA+"/r/silence", `{"until":"`+h.now.Add(time.Hour).Format(time.RFC3339)+`"}`); rule.SilencedUntil == nil {
		t.Errorf("%+v", rule)
	}
}
