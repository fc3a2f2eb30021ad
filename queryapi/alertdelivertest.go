package queryapi

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/drawdown/drawdown/schemas"
)

const (
	// testDeliveriesPerMinute bounds the test messages of a workspace, by
	// whichever server: enough to try a rule's webhooks out, too few to bother
	// a stranger whose URL somebody wrote into one.
	testDeliveriesPerMinute = 10
	testDeliveryWindow      = time.Minute

	// stateTest is the state of such a message, which is of no incident.
	stateTest = "test"
)

// AlertTestDelivery says what was asked for.
type AlertTestDelivery struct {
	WebhookID  string  `json:"webhook_id" doc:"Of the message, the same to each webhook; what became of it is listed under alerts/deliveries?webhook_id="`
	AcceptedAt Instant `json:"accepted_at"`
	Webhooks   int     `json:"webhooks" doc:"How many get it"`
	Deliveries string  `json:"deliveries" doc:"Where what becomes of it is listed"`
}

// AlertTestDeliveryOutput is the response.
type AlertTestDeliveryOutput struct{ Body AlertTestDelivery }

func (s *Server) registerAlertTestDeliveries(api huma.API) {
	register(s, api, huma.Operation{
		OperationID: "deliver-test-alert", Method: http.MethodPost, Path: alertsPath + "/rules/{rule_id}/deliver-test", DefaultStatus: http.StatusAccepted,
		Metadata: needs(ScopeAlerts), Errors: []int{http.StatusConflict},
		Summary: "Send a test message to the webhooks of an alert rule",
		Description: "One signed message of type alert.test to each, as an alert would be sent, within seconds and also while the rule is disabled or silenced. It is tried once, " +
			"or given up if no aggregator sends it within five minutes. It is no incident, and not in the topic. At most 10 a minute of a workspace.",
	}, s.deliverTestAlert)
}

const recentTestsQuery = `
SELECT uniqExact(webhook_id) FROM alert_deliveries
WHERE workspace_id = {workspace:String} AND at > fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND state = 'test' AND attempt = 0 AND outcome = 'retrying'`

// deliverTestAlert writes the rows by which an aggregator owes the messages.
func (s *Server) deliverTestAlert(ctx context.Context, in *AlertRuleInput) (*AlertTestDeliveryOutput, error) {
	rule, err := s.alertRule(ctx, in.WorkspaceID, in.RuleID)
	switch {
	case err != nil:
		return nil, err
	case len(rule.Webhooks) == 0:
		return nil, problem(CodeNoWebhooks, "the rule names no webhooks; write it with some")
	case len(s.cfg.WebhookSecret) == 0:
		return nil, webhooksUnavailable()
	}
	now := s.now()
	if err := s.limitTestDeliveries(ctx, in.WorkspaceID, now); err != nil {
		return nil, err
	}
	incidentID := "test-" + uuid.Must(uuid.NewV7()).String()
	webhookID := incidentID + "/" + stateTest
	told, rows := make([]string, len(rule.Webhooks)), make([][]any, len(rule.Webhooks))
	for i, hook := range rule.Webhooks {
		told[i] = maskedURL(hook.URL)
		rows[i] = []any{
			rule.WorkspaceID, webhookID, incidentID, stateTest, rule.RuleID, rule.Version, hook.URL, string(hook.Format), uint16(0),
			timeOf(now), "retrying", timeOrNil(now),
		}
	}
	detail := map[string]any{"rule_id": rule.RuleID, "webhook_id": webhookID, "webhooks": told}
	if err := s.audit(ctx, rule.WorkspaceID, actionRuleDeliverTest, detail); err != nil {
		return nil, err
	}
	err = s.insertRows(ctx, "alert_deliveries", `INSERT INTO alert_deliveries (workspace_id, webhook_id, incident_id, state, rule_id, rule_version,
		destination, format, attempt, at, outcome, next_attempt_at)`, rows)
	if err != nil {
		return nil, err
	}
	return &AlertTestDeliveryOutput{AlertTestDelivery{
		WebhookID: webhookID, AcceptedAt: instant(now), Webhooks: len(rows),
		Deliveries: "/v1/workspaces/" + url.PathEscape(rule.WorkspaceID) + "/alerts/deliveries?" + url.Values{"webhook_id": {webhookID}}.Encode(),
	}}, nil
}

// limitTestDeliveries refuses one too many. Two at the same time may both pass.
func (s *Server) limitTestDeliveries(ctx context.Context, workspaceID string, now schemas.Millis) error {
	bound, recent := parameters{}, uint64(0)
	bound.String("workspace", workspaceID)
	bound.Integer("from", int64(now)-testDeliveryWindow.Milliseconds())
	err := s.query(ctx, "alert_recent_tests", recentTestsQuery, bound, func(scan func(...any) error) error { return scan(&recent) })
	if err == nil && recent >= testDeliveriesPerMinute {
		p := problem(CodeRateLimited, "at most %d test messages a minute of a workspace; see Retry-After", testDeliveriesPerMinute)
		p.retryAfter = testDeliveryWindow
		return p
	}
	return err
}
