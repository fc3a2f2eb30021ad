package queryapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

const (
	// testSpan is how far back a dry run goes.
	testSpan = 30 * dayMillis
	// testHistory is what forecasts are made from before that: eight weeks, and
	// a day for the hours that its edges cut.
	testHistory = 57 * dayMillis
	// maxTestIncidents bounds an answer.
	maxTestIncidents = 1000
	// maxTestBuckets bounds the quarters that are read of campaigns in the span,
	// some seconds' worth: all of a hundred campaigns, which used something in
	// each.
	maxTestBuckets = 300_000
	// testsAtOnce bounds dry runs, each of a second of one core at the most.
	testsAtOnce = 2
)

// AlertTest is what a rule would have done.
type AlertTest struct {
	From        Instant              `json:"from"`
	To          Instant              `json:"to" doc:"The last quarter of an hour that is counted as a whole"`
	StepSeconds int                  `json:"step_seconds" doc:"How often the rule was looked at; in truth it is more often"`
	Resolution  int                  `json:"resolution" doc:"Seconds within which instants are right: step_seconds, or 3600 of kind quota_projected over more than some hundred campaigns"`
	Fired       int                  `json:"fired" doc:"How often it would have fired, also where items are fewer"`
	Items       []AlertTestedMessage `json:"items" nullable:"false" doc:"In the order in which they would have fired; the last 1,000"`
}

// AlertTestedMessage is an incident that would have fired.
type AlertTestedMessage struct {
	Subject    string          `json:"subject" doc:"The campaign; empty: the workspace"`
	BeganAt    Instant         `json:"began_at" doc:"When the condition was first met"`
	FiredAt    Instant         `json:"fired_at"`
	ResolvedAt *Instant        `json:"resolved_at" doc:"null: it would be firing at the end"`
	Message    string          `json:"message" doc:"When it would have fired"`
	Detail     json.RawMessage `json:"detail" doc:"The figures behind it, by kind"`
}

// TestAlertRuleInput is a rule that is not saved.
type TestAlertRuleInput struct {
	WorkspaceID string `path:"workspace_id"`
	Body        AlertRuleRequest
}

// Resolve names every wrong parameter.
func (in *TestAlertRuleInput) Resolve(ctx huma.Context) []error {
	ruleID := "test"
	if in.Body.RuleID != nil {
		ruleID = *in.Body.RuleID
	}
	return in.Body.resolve(ctx, in.WorkspaceID, ruleID)
}

// AlertTestOutput is the response.
type AlertTestOutput struct{ Body AlertTest }

func (s *Server) registerAlertTests(api huma.API) {
	const description = "Evaluates the last 30 days, each quarter of an hour, by what is known now: late events and corrections are where they belong, " +
		"grants that were issued later are not foreseen, forecasts are made once a day. Nothing is written and nobody is told. Of kind freshness there is nothing to see."
	register(s, api, huma.Operation{
		OperationID: "test-alert-rule", Method: http.MethodPost, Path: alertsPath + "/rules/{rule_id}/test", Metadata: needs(ScopeRead),
		Summary: "When an alert rule would have fired", Description: description,
	}, func(ctx context.Context, in *AlertRuleInput) (*AlertTestOutput, error) {
		rule, err := s.alertRule(ctx, in.WorkspaceID, in.RuleID)
		if err != nil {
			return nil, err
		}
		return s.testAlertRule(ctx, rule)
	})
	register(s, api, huma.Operation{
		OperationID: "test-unsaved-alert-rule", Method: http.MethodPost, Path: alertsPath + "/rules/test", Metadata: needs(ScopeRead),
		MaxBodyBytes: maxRuleBytes, SkipValidateBody: true, // see AlertRuleRequest
		Summary: "When an alert rule that is not saved would have fired", Description: description,
	}, func(ctx context.Context, in *TestAlertRuleInput) (*AlertTestOutput, error) {
		return s.testAlertRule(ctx, &in.Body.rule)
	})
}

// testAlertRule replays a rule.
func (s *Server) testAlertRule(ctx context.Context, rule *schemas.AlertRule) (*AlertTestOutput, error) {
	if err := s.tests.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.tests.Release(1)
	fresh, err := s.freshness(ctx, rule.WorkspaceID)
	if err != nil {
		return nil, err
	}
	to := windowEndAt(fresh) / quarterMillis * quarterMillis
	from := to - testSpan
	timeline, resolution, err := s.testTimeline(ctx, rule, fresh, from, to)
	if err != nil {
		return nil, err
	}
	incidents, err := alerts.Replay(*rule, timeline, from, to, quarterMillis)
	if err == nil && resolution > quarterMillis && rule.Kind == schemas.QuotaUsed {
		// What is used up in an hour is so in a quarter of it.
		resolution = quarterMillis
		if err = s.refine(ctx, rule, timeline, incidents, to); err == nil {
			incidents, err = alerts.Replay(*rule, timeline, from, to, quarterMillis)
		}
	}
	if err != nil {
		return nil, err
	}
	body := AlertTest{From: instant(from), To: instant(to), StepSeconds: quarterMillis / 1000, Resolution: int(resolution) / 1000, Fired: len(incidents), Items: []AlertTestedMessage{}}
	for _, i := range incidents[max(len(incidents)-maxTestIncidents, 0):] {
		body.Items = append(body.Items, AlertTestedMessage{
			Subject: i.Subject, BeganAt: instant(i.BeganAt), FiredAt: instant(i.FiredAt), ResolvedAt: instantOrNull(i.ResolvedAt),
			Message: i.Message, Detail: detailBody(i.Detail),
		})
	}
	return &AlertTestOutput{body}, nil
}

// testTimeline reads what a replay of a rule needs to know, and says within
// what instants of it are right.
func (s *Server) testTimeline(ctx context.Context, rule *schemas.AlertRule, fresh freshness, from, to schemas.Millis) (*alerts.Timeline, schemas.Millis, error) {
	about, err := s.settings(ctx, rule.WorkspaceID, fresh)
	if err != nil {
		return nil, 0, err
	}
	t := &alerts.Timeline{Name: about.name, Zone: about.zone}
	if t.Entries, err = s.entries(ctx, rule.WorkspaceID, fresh); err != nil {
		return nil, 0, err
	}
	edges, err := balance.Cuts(t.Entries, to)
	if err != nil {
		return nil, 0, err
	}
	edges = slices.DeleteFunc(slices.Clone(edges), func(at schemas.Millis) bool { return at <= timeBegin || at >= to })
	longest := time.Hour
	watched := *rule
	watched.Enabled, watched.Deleted = true, false
	for _, window := range alerts.Windows([]schemas.AlertRule{watched}) {
		longest = max(longest, window)
	}
	edges = testEdges(edges, from, to, from-schemas.Millis(longest.Milliseconds()))
	rows, err := s.sums(ctx, "alert_test", rollup.Query{Workspace: rule.WorkspaceID, Edges: edges, Group: rollup.ByNone})
	if err != nil {
		return nil, 0, err
	}
	for i := range rows {
		t.Usage = append(t.Usage, bucketOf(edges, &rows[i]))
	}
	sortBuckets(t.Usage)
	if rule.Kind != schemas.QuotaUsed && rule.Kind != schemas.QuotaProjected {
		return t, quarterMillis, nil
	}
	if t.Campaigns, err = s.campaignPasts(ctx, rule); err != nil {
		return nil, 0, err
	}
	// Hours where there are many campaigns.
	resolution, quartersFrom := schemas.Millis(hourMillis), to
	if rule.Params.CampaignID != "" || schemas.Millis(len(t.Campaigns))*testSpan/quarterMillis <= maxTestBuckets {
		resolution, quartersFrom = quarterMillis, from
	}
	edges = testEdges(nil, from, to, quartersFrom)
	usage, err := s.campaignUsage(ctx, rule, edges)
	for i := range t.Campaigns {
		t.Campaigns[i].Usage = usage[t.Campaigns[i].ID]
	}
	return t, resolution, err
}

// refine reads the quarters of the hours in which incidents of campaigns began
// or ended, in place of the hours.
func (s *Server) refine(ctx context.Context, rule *schemas.AlertRule, t *alerts.Timeline, incidents []alerts.Incident, to schemas.Millis) error {
	var edges []schemas.Millis
	hours := map[schemas.Millis]bool{}
	for _, i := range incidents {
		for _, at := range []schemas.Millis{i.BeganAt, i.ResolvedAt} {
			hour := (at - 1) / hourMillis * hourMillis // known at its end
			if at == schemas.NoInstant || hours[hour] {
				continue
			}
			hours[hour] = true
			for quarter := hour; quarter <= min(hour+hourMillis, to); quarter += quarterMillis {
				edges = append(edges, quarter)
			}
		}
	}
	if len(edges) == 0 {
		return nil
	}
	slices.Sort(edges)
	usage, err := s.campaignUsage(ctx, rule, slices.Compact(edges))
	if err != nil {
		return err
	}
	for i := range t.Campaigns {
		c := &t.Campaigns[i]
		c.Usage = slices.DeleteFunc(c.Usage, func(b alerts.Bucket) bool { return hours[b.From/hourMillis*hourMillis] })
		for _, b := range usage[c.ID] {
			if hours[b.From/hourMillis*hourMillis] && b.To-b.From == quarterMillis {
				c.Usage = append(c.Usage, b)
			}
		}
		sortBuckets(c.Usage)
	}
	return nil
}

const hourMillis = 60 * minuteMillis

// testEdges adds to edges the hours of a timeline and, from an instant on, its
// quarters.
func testEdges(edges []schemas.Millis, from, to, quartersFrom schemas.Millis) []schemas.Millis {
	const hour = hourMillis
	edges = append(edges, timeBegin, to)
	for at := (from - testHistory) / hour * hour; at < to; {
		edges = append(edges, at)
		if at += hour; at > quartersFrom {
			for quarter := at - hour + quarterMillis; quarter < min(at, to); quarter += quarterMillis {
				edges = append(edges, quarter)
			}
		}
	}
	slices.Sort(edges)
	return slices.Compact(edges)
}

func bucketOf(edges []schemas.Millis, row *sumRow) alerts.Bucket {
	return alerts.Bucket{From: edges[row.interval], To: edges[row.interval+1], Net: row.net, Gross: row.gross()}
}

func sortBuckets(buckets []alerts.Bucket) {
	slices.SortFunc(buckets, func(a, b alerts.Bucket) int { return int(min(max(a.From-b.From, -1), 1)) })
}

const statesQuery = `
SELECT campaign_id, time, name, status, quota_micro, ends_at FROM campaigns
WHERE workspace_id = {workspace:String}
ORDER BY campaign_id, time, epoch, koff`

// campaignPasts reads the states of the campaigns that a rule is about.
func (s *Server) campaignPasts(ctx context.Context, rule *schemas.AlertRule) ([]alerts.CampaignTimeline, error) {
	var found []alerts.CampaignTimeline
	place := map[string]int{}
	bound := parameters{}
	bound.String("workspace", rule.WorkspaceID)
	err := s.query(ctx, "alert_test_states", statesQuery, bound, func(scan func(...any) error) error {
		var (
			id     string
			at     time.Time
			quota  *int64
			endsAt *time.Time
			state  alerts.CampaignState
		)
		if err := scan(&id, &at, &state.Name, &state.Status, &quota, &endsAt); err != nil {
			return err
		}
		state.At, state.EndsAt = millisOf(at), millisOrNone(endsAt)
		if quota != nil {
			state.Quota, state.HasQuota = schemas.Credits(*quota), true
		}
		i, known := place[id]
		if !known {
			i = len(found)
			place[id], found = i, append(found, alerts.CampaignTimeline{ID: id})
		}
		found[i].States = append(found[i].States, state)
		return nil
	})
	return found, err
}

// campaignUsage is what the campaigns that a rule is about used between edges.
func (s *Server) campaignUsage(ctx context.Context, rule *schemas.AlertRule, edges []schemas.Millis) (map[string][]alerts.Bucket, error) {
	q := rollup.Query{Workspace: rule.WorkspaceID, Edges: edges, Group: rollup.ByCampaign}
	if id := rule.Params.CampaignID; id != "" {
		q.Campaign = &id
	}
	rows, err := s.sums(ctx, "alert_test_campaigns", q)
	usage := make(map[string][]alerts.Bucket)
	for i := range rows {
		usage[rows[i].key] = append(usage[rows[i].key], bucketOf(edges, &rows[i]))
	}
	for _, buckets := range usage {
		sortBuckets(buckets)
	}
	return usage, err
}
