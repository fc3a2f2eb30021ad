package queryapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/schemas"
)

// AlertDeliveries is a page of attempts to tell somebody.
type AlertDeliveries struct {
	Items      []AlertDelivery `json:"items" nullable:"false" doc:"The newest first; kept for 90 days"`
	NextCursor *string         `json:"next_cursor" doc:"null: this is the last page"`
}

// AlertDelivery is one attempt, or why there was none.
type AlertDelivery struct {
	At            Instant      `json:"at" doc:"When it ended"`
	WebhookID     string       `json:"webhook_id" doc:"incident_id/state, the same however often it is sent"`
	IncidentID    string       `json:"incident_id" doc:"Of a test an id of its own, test-..., of no incident"`
	State         string       `json:"state" enum:"firing,resolved,test"`
	RuleID        string       `json:"rule_id"`
	RuleName      *string      `json:"rule_name" doc:"As the rule is called now; null: nobody knows"`
	RuleVersion   uint32       `json:"rule_version" doc:"Version of the rule that named the destination; 0: none did"`
	Destination   string       `json:"destination" doc:"URL, of which only the host is shown without alerts:write; or name of the topic"`
	Format        string       `json:"format" enum:"standard,slack,topic"`
	Attempt       uint16       `json:"attempt" doc:"From 1; 0: nothing was sent, or of a test that it was asked for"`
	Outcome       AlertOutcome `json:"outcome"`
	Status        *uint16      `json:"status" doc:"HTTP status of the answer; null: there was none"`
	Error         string       `json:"error" doc:"Why it is not delivered; empty: it is"`
	NextAttemptAt *Instant     `json:"next_attempt_at" doc:"retrying: when; null: never"`
	TookMS        uint32       `json:"took_ms" doc:"Milliseconds from connecting to the end of the answer"`
}

// AlertOutcome is what became of an attempt.
type AlertOutcome string

// TransformSchema documents which outcomes there are.
func (AlertOutcome) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	schema.Enum = []any{"delivered", "retrying", "failed", "refused", "disabled", "silenced"}
	return schema
}

// AlertDeliveriesInput are the parameters.
type AlertDeliveriesInput struct {
	WorkspaceID string       `path:"workspace_id"`
	IncidentID  string       `query:"incident_id" doc:"Only of this incident"`
	RuleID      string       `query:"rule_id" doc:"Only of this rule"`
	WebhookID   string       `query:"webhook_id" doc:"Only of this message" example:"test-0197c9d2-7c1e-7b44-9b0e-3f6f0d6f1a01/test"`
	State       string       `query:"state" enum:"firing,resolved,test" doc:"Only of messages of this state"`
	From        string       `query:"from" doc:"Only what ended here or later, RFC 3339" example:"2026-11-01T00:00:00Z"`
	To          string       `query:"to" doc:"Only what ended before, RFC 3339" example:"2026-12-01T00:00:00Z"`
	Outcome     AlertOutcome `query:"outcome" doc:"Only these"`
	Limit       int          `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor      string       `query:"cursor" doc:"next_cursor of the page before, with the same other parameters. What is sent meanwhile is left to the next listing"`

	times  Range
	cursor *deliveryPlace
}

// deliveryPlace is where an attempt stands, and how its listing is told apart.
type deliveryPlace struct {
	At        int64  `json:"a"` // milliseconds
	WebhookID string `json:"w"`
	Hash      uint64 `json:"h,string"` // of everything else
	Digest    string `json:"d"`
}

func (in *AlertDeliveriesInput) listing() []string {
	return []string{"alert-deliveries", in.WorkspaceID, in.IncidentID, in.RuleID, string(in.Outcome), in.WebhookID, in.State, in.From, in.To}
}

// Resolve names every wrong parameter.
func (in *AlertDeliveriesInput) Resolve(ctx huma.Context) []error {
	in.times = Range{From: in.From, To: in.To}
	errs := slices.Concat(strict(ctx), in.times.resolve())
	if in.Cursor != "" {
		var c deliveryPlace
		if err := decodeCursor(in.Cursor, &c); err != nil || c.Digest != digest(in.listing()) {
			errs = append(errs, wrong("query.cursor", in.Cursor, "%s", errCursor.Error()))
		} else {
			in.cursor = &c
		}
	}
	return errs
}

// AlertDeliveriesOutput is the response.
type AlertDeliveriesOutput struct{ Body AlertDeliveries }

func (s *Server) registerAlertDeliveries(api huma.API) {
	register(s, api, huma.Operation{
		OperationID: "list-alert-deliveries", Method: http.MethodGet, Path: alertsPath + "/deliveries", Metadata: needs(ScopeRead),
		Summary: "Attempts to tell somebody of alert incidents", Description: "To webhooks and to the topic. A message is settled at a destination by any outcome but retrying.",
	}, s.listAlertDeliveries)
}

const deliveriesQuery = `
SELECT toUnixTimestamp64Milli(at) AS ms, webhook_id, incident_id, state, rule_id, rule_version, destination, format, attempt, outcome,
    status, error, next_attempt_at, took_ms,
    sipHash64(destination, format, attempt, outcome, status, error, rule_version, took_ms) AS hash
FROM alert_deliveries
WHERE workspace_id = {workspace:String}`

// deliveriesStatement reads one row more than a page has, backwards in the
// order of the primary key.
func deliveriesStatement(in *AlertDeliveriesInput) (string, parameters) {
	statement, bound := deliveriesQuery, parameters{}
	bound.String("workspace", in.WorkspaceID)
	for _, filter := range []struct{ name, value, condition string }{
		{"incident", in.IncidentID, " AND incident_id = {incident:String}"},
		{"rule", in.RuleID, " AND rule_id = {rule:String}"},
		{"message", in.WebhookID, " AND webhook_id = {message:String}"},
		{"state", in.State, " AND state = {state:String}"},
		{"outcome", string(in.Outcome), " AND outcome = {outcome:String}"},
	} {
		if filter.value != "" {
			statement += filter.condition
			bound.String(filter.name, filter.value)
		}
	}
	if in.times.from != schemas.NoInstant {
		statement += " AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')"
		bound.Integer("from", int64(in.times.from))
	}
	if in.times.to != schemas.NoInstant {
		statement += " AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')"
		bound.Integer("to", int64(in.times.to))
	}
	if c := in.cursor; c != nil {
		statement += " AND at <= fromUnixTimestamp64Milli({at:Int64}, 'UTC')" +
			" AND (toUnixTimestamp64Milli(at), webhook_id, hash) < ({at:Int64}, {webhook:String}, {hash:UInt64})"
		bound.Integer("at", c.At)
		bound.String("webhook", c.WebhookID)
		bound.String("hash", fmt.Sprint(c.Hash))
	}
	bound.Integer("limit", int64(in.Limit)+1)
	return statement + "\nORDER BY at DESC, webhook_id DESC, hash DESC LIMIT {limit:UInt32}", bound
}

func (s *Server) listAlertDeliveries(ctx context.Context, in *AlertDeliveriesInput) (*AlertDeliveriesOutput, error) {
	statement, bound := deliveriesStatement(in)
	out := &AlertDeliveriesOutput{AlertDeliveries{Items: []AlertDelivery{}}}
	sees := principalFrom(ctx).seesWebhooks()
	var last deliveryPlace
	more := false
	err := s.query(ctx, "alert_deliveries", statement, bound, func(scan func(...any) error) error {
		var (
			d      AlertDelivery
			place  deliveryPlace
			status uint16
			next   *time.Time
		)
		if err := scan(&place.At, &d.WebhookID, &d.IncidentID, &d.State, &d.RuleID, &d.RuleVersion, &d.Destination, &d.Format, &d.Attempt,
			(*string)(&d.Outcome), &status, &d.Error, &next, &d.TookMS, &place.Hash); err != nil {
			return err
		}
		if len(out.Body.Items) == in.Limit {
			more = true
			return nil
		}
		place.WebhookID = d.WebhookID
		last = place
		d.At, d.NextAttemptAt = instant(schemas.Millis(place.At)), instantOrNull(millisOrNone(next))
		if status != 0 {
			d.Status = &status
		}
		if !sees && d.Format != "topic" {
			d.Destination = maskedURL(d.Destination)
		}
		out.Body.Items = append(out.Body.Items, d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(out.Body.Items) > 0 {
		rules := make(map[string]string)
		for _, d := range out.Body.Items {
			rules[d.RuleID] = ""
		}
		if err := s.nameRules(ctx, in.WorkspaceID, rules); err != nil {
			return nil, err
		}
		for i := range out.Body.Items {
			out.Body.Items[i].RuleName = stringOrNull(rules[out.Body.Items[i].RuleID])
		}
	}
	if more {
		last.Digest = digest(in.listing())
		out.Body.NextCursor = stringOrNull(encodeCursor(last))
	}
	return out, nil
}
