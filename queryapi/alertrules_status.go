package queryapi

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/schemas"
)

// AlertRuleStatus is how a rule fares.
type AlertRuleStatus struct {
	State       string   `json:"state" enum:"disabled,quiet,pending,firing" doc:"disabled: it is not evaluated; firing: an incident of it is; pending: one will be if it goes on"`
	Firing      int      `json:"firing" doc:"Incidents that are firing now, of this rule and any subject"`
	Pending     int      `json:"pending" doc:"Those that will if they go on"`
	LastFiredAt *Instant `json:"last_fired_at" doc:"When one last began to fire; null: never"`
	EvaluatedAt *Instant `json:"evaluated_at" doc:"The workspace's watermark, at which rules are evaluated, never at now; null: disabled, or not known yet"`
	Stale       bool     `json:"stale" doc:"The watermark has stood still for more than a minute, so nothing later is evaluated"`
}

// TransformSchema lets status be null.
func (AlertRule) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	return nullable(schema, "status")
}

// ruleIncidentsQuery counts the incidents of each rule by how far they are.
const ruleIncidentsQuery = `
SELECT rule_id, countIf(reached = 'firing'), countIf(reached = 'pending'), max(fired_at) FROM (
    SELECT rule_id, incident_id, maxIf(at, state = 'firing') AS fired_at,
        multiIf(countIf(state = 'resolved') > 0, 'resolved', countIf(state = 'firing') > 0, 'firing', 'pending') AS reached
    FROM alert_incidents
    WHERE workspace_id = {workspace:String}
    GROUP BY rule_id, incident_id
)
GROUP BY rule_id`

// staleMillis is how long a watermark may stand still before what is evaluated
// at it is stale (DESIGN section 8).
const staleMillis = 60_000

// addStatus says of rules how they fare.
func (s *Server) addStatus(ctx context.Context, workspaceID string, rules []AlertRule) error {
	fresh, err := s.freshness(ctx, workspaceID)
	if err != nil {
		return err
	}
	stands := make(map[string]*AlertRuleStatus)
	bound := parameters{}
	bound.String("workspace", workspaceID)
	err = s.query(ctx, "alert_rule_incidents", ruleIncidentsQuery, bound, func(scan func(...any) error) error {
		var (
			id              string
			firing, pending uint64
			firedAt         time.Time
		)
		err := scan(&id, &firing, &pending, &firedAt)
		status := &AlertRuleStatus{Firing: int(firing), Pending: int(pending)}
		if at := millisOf(firedAt); at > 0 { // else ClickHouse's 1970 for none
			status.LastFiredAt = instantOrNull(at)
		}
		stands[id] = status
		return err
	})
	for i := range rules {
		status := stands[rules[i].RuleID]
		if status == nil {
			status = &AlertRuleStatus{}
		}
		status.finish(rules[i].Enabled, fresh)
		rules[i].Status = status
	}
	return err
}

// finish adds what follows from the rule and the watermark.
func (a *AlertRuleStatus) finish(enabled bool, fresh freshness) {
	if enabled {
		a.EvaluatedAt = instantOrNull(fresh.Watermark)
		a.Stale = fresh.Watermark == schemas.NoInstant || fresh.at-fresh.Watermark > staleMillis
	}
	switch {
	case !enabled:
		a.State = "disabled"
	case a.Firing > 0:
		a.State = "firing"
	case a.Pending > 0:
		a.State = "pending"
	default:
		a.State = "quiet"
	}
}
