package queryapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/queryapi"
)

// TestTestDeliveryIsOwedToEachWebhookAndIsNoIncident: what is asked for stands
// among the deliveries and in no table of incidents, so that neither lists of
// them, nor streams, nor the evaluator's book see it.
func TestTestDeliveryIsOwedToEachWebhookAndIsNoIncident(t *testing.T) {
	t.Parallel()
	h := newAlerting(t)
	h.write(http.MethodPost, rulesOfA, `{"rule_id":"r1","kind":"balance_below","name":"n","enabled":false,"params":{"credits":1},"webhooks":[
		{"url":"https://a.example/private","format":"standard"},{"url":"https://b.example/private","format":"slack"}]}`)
	h.write(http.MethodPost, rulesOfA, `{"rule_id":"none","kind":"balance_below","name":"n","params":{"credits":1}}`)
	const target = rulesOfA + "/r1/deliver-test"
	r := h.call(h.server, testToken, http.MethodPost, target, "")
	var asked queryapi.AlertTestDelivery
	if err := json.Unmarshal(r.body, &asked); err != nil || r.status != http.StatusAccepted {
		t.Fatalf("%d %s (%v)\nlog: %s", r.status, r.body, err, h.log)
	}
	var listed queryapi.AlertDeliveries
	h.get(asked.Deliveries, nil, &listed)
	if asked.Webhooks != 2 || len(listed.Items) != 2 || !strings.HasPrefix(asked.WebhookID, "test-") {
		t.Fatalf("%+v: %+v", asked, listed)
	}
	for _, d := range listed.Items {
		if d.WebhookID != asked.WebhookID || d.WebhookID != d.IncidentID+"/test" || d.State != "test" || d.RuleID != "r1" || d.RuleVersion != 1 ||
			d.Attempt != 0 || d.Outcome != "retrying" || d.At != asked.AcceptedAt || !strings.HasSuffix(d.Destination, "/private") {
			t.Errorf("%+v", d)
		}
	}
	for question, want := range map[string]uint64{
		"SELECT count() FROM alert_incidents": 0,
		"SELECT count() FROM audit_log WHERE action = 'alert_rule.deliver_test' AND workspace_id = 'ws_a' AND position(detail, 'private') = 0 AND position(detail, 'a.example') > 0": 1,
		"SELECT count() FROM alert_deliveries WHERE format NOT IN ('standard', 'slack')":                                                                                             0,
	} {
		var got uint64
		if err := h.conn.QueryRow(t.Context(), question).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %d (%v), want %d", question, got, err, want)
		}
	}
	var audited struct{ Items []struct{ Action string } } // held to the document
	h.get("/v1/workspaces/ws_a/audit-log?action=alert_rule.deliver_test", nil, &audited)
	if len(audited.Items) != 1 || audited.Items[0].Action != "alert_rule.deliver_test" {
		t.Errorf("%+v", audited)
	}
	var incidents queryapi.AlertIncidents
	h.get("/v1/workspaces/ws_a/alerts/incidents", nil, &incidents)
	if len(incidents.Items) != 0 {
		t.Errorf("%+v", incidents)
	}

	// Who may, and of what.
	for _, c := range []struct {
		target string
		token  string
		status int
		code   queryapi.Code
	}{
		{rulesOfA + "/none/deliver-test", testToken, http.StatusConflict, queryapi.CodeNoWebhooks},
		{rulesOfA + "/default-exhausted/deliver-test", testToken, http.StatusConflict, queryapi.CodeNoWebhooks},
		{rulesOfA + "/r9/deliver-test", testToken, http.StatusNotFound, queryapi.CodeAlertRuleNotFound},
		{target, h.key("ws_a", `"credits:read"`).Secret, http.StatusForbidden, queryapi.CodeForbidden},
		{target, h.key("ws_b", `"alerts:write"`).Secret, http.StatusNotFound, queryapi.CodeWorkspaceNotFound},
	} {
		if r := h.call(h.server, c.token, http.MethodPost, c.target, ""); r.status != c.status || h.problemOf(r).Code != c.code {
			t.Errorf("%s: %d %s, want %d %s", c.target, r.status, r.body, c.status, c.code)
		}
	}

	// Ten a minute, whichever server is asked.
	other := h.alertServer()
	for n := 1; n < 10; n++ {
		if r := h.call(other, testToken, http.MethodPost, target, ""); r.status != http.StatusAccepted {
			t.Fatalf("test %d: %d %s", n, r.status, r.body)
		}
	}
	r = h.call(h.server, testToken, http.MethodPost, target, "")
	if r.status != http.StatusTooManyRequests || h.problemOf(r).Code != queryapi.CodeRateLimited || r.header.Get("Retry-After") != "60" {
		t.Errorf("one too many: %d %s %v", r.status, r.body, r.header)
	}
	h.now = h.now.Add(time.Minute)
	if r := h.call(h.server, testToken, http.MethodPost, target, ""); r.status != http.StatusAccepted {
		t.Errorf("a minute later: %d %s", r.status, r.body)
	}
}
