package queryapi

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

const acknowledgementsQuery = `
SELECT incident_id, argMax(by, (at, by, note)), max(at), argMax(note, (at, by, note)) FROM alert_acknowledgements
WHERE workspace_id = {workspace:String} AND incident_id IN {incidents:Array(String)}
GROUP BY incident_id`

// Of a message at a destination there is one row that settles it, or only
// attempts.
const deliveryCountsQuery = `
SELECT incident_id, result, count() FROM (
    SELECT incident_id, if(countIf(outcome != 'retrying') > 0, anyIf(outcome, outcome != 'retrying'), 'retrying') AS result
    FROM alert_deliveries
    WHERE workspace_id = {workspace:String} AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
        AND incident_id IN {incidents:Array(String)} AND format != 'topic'
    GROUP BY incident_id, webhook_id, destination, format
)
GROUP BY incident_id, result`

const ruleNamesQuery = `
SELECT rule_id, argMax(name, version) FROM alert_rules
WHERE workspace_id = {workspace:String} AND rule_id IN {rules:Array(String)}
GROUP BY rule_id`

// deliverySlack is how much earlier than a row of ClickHouse's clock one of an
// aggregator's clock may be.
const deliverySlack = schemas.Millis(3600_000)

// aboutIncidents adds what other tables know of incidents.
func (s *Server) aboutIncidents(ctx context.Context, workspaceID string, found []foundIncident) error {
	place, ids, rules := map[string]*foundIncident{}, make([]string, len(found)), map[string]string{}
	from := found[0].recorded
	for i := range found {
		place[found[i].IncidentID], ids[i] = &found[i], found[i].IncidentID
		from = min(from, found[i].recorded)
		rules[found[i].RuleID] = ""
	}
	bound := parameters{}
	bound.String("workspace", workspaceID)
	bound.Strings("incidents", ids)
	bound.Integer("from", int64(from-deliverySlack))
	err := s.query(ctx, "alert_acknowledgements", acknowledgementsQuery, bound, func(scan func(...any) error) error {
		var id string
		var at time.Time
		a := AlertAcknowledgement{}
		err := scan(&id, &a.By, &at, &a.Note)
		a.At = instant(millisOf(at))
		place[id].Acknowledged = &a
		return err
	})
	if err != nil {
		return err
	}
	err = s.query(ctx, "alert_delivery_counts", deliveryCountsQuery, bound, func(scan func(...any) error) error {
		var id, outcome string
		var n uint64
		err := scan(&id, &outcome, &n)
		place[id].Deliveries.add(AlertOutcome(outcome), int(n))
		return err
	})
	if err != nil {
		return err
	}
	err = s.nameRules(ctx, workspaceID, rules)
	for i := range found {
		found[i].RuleName = stringOrNull(rules[found[i].RuleID])
	}
	if err != nil || !slices.ContainsFunc(found, func(i foundIncident) bool { return i.Subject != "" }) {
		return err
	}
	fresh, err := s.freshness(ctx, workspaceID)
	if err != nil {
		return err
	}
	states, err := s.campaignStates(ctx, workspaceID, fresh)
	for i := range found {
		found[i].SubjectName = stringOrNull(states[found[i].Subject].name)
	}
	return err
}

// nameRules fills in the names of rules, by id.
func (s *Server) nameRules(ctx context.Context, workspaceID string, rules map[string]string) error {
	for _, rule := range schemas.DefaultAlertRules(workspaceID) {
		rules[rule.RuleID] = rule.Name
	}
	bound := parameters{}
	bound.String("workspace", workspaceID)
	bound.Strings("rules", slices.Sorted(maps.Keys(rules)))
	return s.query(ctx, "alert_rule_names", ruleNamesQuery, bound, func(scan func(...any) error) error {
		var id, name string
		err := scan(&id, &name)
		rules[id] = name
		return err
	})
}

// add counts messages of an outcome.
func (c *AlertDeliveryCounts) add(outcome AlertOutcome, n int) {
	for known, count := range map[AlertOutcome]*int{
		"delivered": &c.Delivered, "retrying": &c.Retrying, "failed": &c.Failed,
		"refused": &c.Refused, "disabled": &c.Disabled, "silenced": &c.Silenced,
	} {
		if known == outcome {
			*count += n
		}
	}
}
