package queryapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// Usage is where credits went over time.
type Usage struct {
	WorkspaceID string          `json:"workspace_id"`
	From        Instant         `json:"from"`
	To          Instant         `json:"to"`
	Bucket      string          `json:"bucket" enum:"1m,15m,1h,1d,1w,1mo"`
	TZ          string          `json:"tz" doc:"Zone of the bucket edges"`
	GroupBy     string          `json:"group_by" enum:"none,campaign,action"`
	Total       Decimal         `json:"total" doc:"Net credits of all series and other"`
	Series      []UsageSeries   `json:"series" nullable:"false" doc:"The most used first; one with key \"\" if not grouped"`
	Other       *UsageSeries    `json:"other" doc:"All keys past top; null: there are none"`
	Previous    *UsagePrevious  `json:"previous" doc:"With compare=previous, else null"`
	Forecast    []ForecastPoint `json:"forecast" nullable:"false" doc:"Buckets of the range that are still to come, of the campaign if one was asked for; empty where nothing forecasts: of one action, or of a workspace that is too young"`
	Figures
}

// TransformSchema documents what huma cannot say of a struct.
func (Usage) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	return nullable(schema, "other", "previous")
}

// UsageSeries is one line of a chart.
type UsageSeries struct {
	Key    string       `json:"key" doc:"campaign_id or action; \"\": unattributed"`
	Name   *string      `json:"name" doc:"null: unattributed or unnamed"`
	Total  Decimal      `json:"total" doc:"Net credits of all points"`
	Points []UsagePoint `json:"points" nullable:"false"`
}

// UsagePoint is one bucket.
type UsagePoint struct {
	Start    Instant `json:"start"`
	End      Instant `json:"end"`
	Credits  Decimal `json:"credits" doc:"Net of refunds"`
	Refunds  Decimal `json:"refunds" doc:"What was given back, positive"`
	Events   int64   `json:"events"`
	Complete bool    `json:"complete" doc:"end <= watermark; late events may still restate it"`
}

// UsagePrevious is the sum over as many buckets before the range.
type UsagePrevious struct {
	Total  Decimal      `json:"total"`
	Points []UsagePoint `json:"points" nullable:"false"`
}

// UsageInput are the parameters.
type UsageInput struct {
	WorkspaceID string `path:"workspace_id"`
	Range
	BucketParams
	GroupBy  string `query:"group_by" enum:"none,campaign,action" default:"none"`
	Campaign string `query:"campaign_id" doc:"Only this campaign; empty: only unattributed usage"`
	Action   string `query:"action" doc:"Only this action; empty: only usage without one"`
	Top      int    `query:"top" minimum:"1" maximum:"50" default:"7" doc:"How many keys get a series of their own, by net credits"`
	Compare  string `query:"compare" enum:"none,previous" default:"none"`
	Conditional

	campaign, action *string // nil: not given
}

// BucketParams say how time is cut.
type BucketParams struct {
	Bucket string `query:"bucket" enum:"auto,1m,15m,1h,1d,1w,1mo" default:"auto" doc:"auto: the finest that gives at most 200 points"`
	TZ     string `query:"tz" doc:"IANA zone of the bucket edges; default: the workspace's" example:"Europe/Berlin"`

	zone *time.Location // nil: the workspace's
}

func (p *BucketParams) resolve() []error {
	var err error
	if p.zone, err = zoneParam(p.TZ); err != nil {
		return []error{err}
	}
	return nil
}

// Resolve names every wrong parameter.
func (in *UsageInput) Resolve(ctx huma.Context) []error {
	in.note(ctx)
	in.campaign, in.action = optional(ctx, "campaign_id"), optional(ctx, "action")
	return slices.Concat(strict(ctx), in.Range.resolve(), in.BucketParams.resolve())
}

func (s *Server) registerUsage(api huma.API) {
	register(s, api, huma.Operation{
		OperationID: "get-usage", Method: http.MethodGet, Path: "/v1/workspaces/{workspace_id}/usage",
		Metadata: needs(ScopeRead),
		Summary:  "Where credits went over time",
	}, s.usage)
}

func (s *Server) usage(ctx context.Context, in *UsageInput) (*Answer[Usage], error) {
	return s.usageAnswer(ctx, in)
}

// usageAnswer answers whoever may ask.
func (s *Server) usageAnswer(ctx context.Context, in *UsageInput) (*Answer[Usage], error) {
	q := question{workspace: in.WorkspaceID, Conditional: in.Conditional, fine: in.fine()}
	return answered(ctx, s, q, func(ctx context.Context, fresh freshness) (*Usage, error) { return s.usageIn(ctx, in, fresh) })
}

// usageIn makes the body.
func (s *Server) usageIn(ctx context.Context, in *UsageInput, fresh freshness) (*Usage, error) {
	about, err := s.workspace(ctx, in.WorkspaceID, fresh)
	if err != nil {
		return nil, err
	}
	asked, err := in.within(about.period, s.rawFrom())
	if err != nil {
		return nil, err
	}
	cut, err := in.cut(asked, fresh.at, about.settings)
	if err != nil {
		return nil, err
	}
	var before []schemas.Millis
	if in.Compare == "previous" {
		if before, err = cut.before(); err != nil {
			return nil, err
		}
	}

	query := rollup.Query{
		Workspace: in.WorkspaceID, Edges: cut.edges,
		Group: rollup.Grouping(in.GroupBy), Campaign: in.campaign, Action: in.action,
	}
	names := map[string]campaignState{}
	if query.Group != rollup.ByNone {
		if query.Keep, err = s.topKeys(ctx, query, in.Top); err != nil {
			return nil, err
		}
	}
	if query.Group == rollup.ByCampaign {
		if names, err = s.campaignStates(ctx, in.WorkspaceID, fresh); err != nil {
			return nil, err
		}
	}
	query.Edges = joinEdges(before, cut.edges)
	rows, err := s.sums(ctx, "usage", query)
	if err != nil {
		return nil, err
	}

	body := &Usage{
		WorkspaceID: in.WorkspaceID, From: instant(asked.from), To: instant(asked.to),
		Bucket: string(cut.bucket), TZ: cut.zone.String(), GroupBy: in.GroupBy,
	}
	if body.Forecast, err = s.forecastOf(ctx, in, cut.ahead, fresh); err != nil {
		return nil, err
	}
	chart := chartOf(rows, query, len(query.Edges)-len(cut.edges))
	body.fill(chart, fresh.Watermark, func(key string) *string {
		if query.Group == rollup.ByAction {
			return stringOrNull(key)
		}
		return stringOrNull(names[key].name)
	})
	if in.Compare == "previous" {
		all := make([]usage, max(len(before)-1, 0))
		for _, row := range rows {
			if row.interval < len(all) {
				all[row.interval] = all[row.interval].add(row.usage)
			}
		}
		total, points := pointsOf(before, all, fresh.Watermark)
		body.Previous = &UsagePrevious{Total: decimal(total), Points: points}
	}
	return body, nil
}

// forecastOf forecasts buckets that are still to come.
func (s *Server) forecastOf(ctx context.Context, in *UsageInput, ahead []schemas.Millis, fresh freshness) ([]ForecastPoint, error) {
	if len(ahead) < 2 || in.action != nil {
		return []ForecastPoint{}, nil
	}
	future, err := s.projections(ctx, in.WorkspaceID, fresh)
	if err != nil {
		return nil, err
	}
	of := wholeWorkspace
	if in.campaign != nil {
		of = *in.campaign
	}
	return future[of].forecastBody(ahead, ahead[0]), nil
}

// topKeys ranks the keys over the whole range. It is a statement of its own:
// it only decides which keys are told apart; their figures, and those of the
// others, come from one.
func (s *Server) topKeys(ctx context.Context, query rollup.Query, top int) ([]string, error) {
	if len(query.Edges) < 2 {
		return []string{}, nil
	}
	query.Edges = []schemas.Millis{query.Edges[0], query.Edges[len(query.Edges)-1]}
	rows, err := s.sums(ctx, "usage_top", query)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b sumRow) int {
		if order := b.net.Cmp(a.net); order != 0 {
			return order
		}
		return strings.Compare(a.key, b.key)
	})
	keys := make([]string, min(top, len(rows)))
	for i := range keys {
		keys[i] = rows[i].key
	}
	return keys, nil
}

// chart is what Usage shows, still in numbers.
type chart struct {
	edges []schemas.Millis
	keys  []string // in order
	lines map[string][]usage
	other []usage // nil: none
}

// chartOf arranges rows, whose first skip intervals lie before the chart.
func chartOf(rows []sumRow, query rollup.Query, skip int) chart {
	c := chart{edges: query.Edges[skip:], keys: query.Keep, lines: make(map[string][]usage)}
	buckets := max(len(c.edges)-1, 0)
	if query.Group == rollup.ByNone {
		c.keys = []string{""}
	}
	for _, key := range c.keys {
		c.lines[key] = make([]usage, buckets)
	}
	for _, row := range rows {
		if row.interval < skip {
			continue
		}
		line := c.lines[row.key]
		if row.other {
			if c.other == nil {
				c.other = make([]usage, buckets)
			}
			line = c.other
		}
		line[row.interval-skip] = line[row.interval-skip].add(row.usage)
	}
	return c
}

// fill makes the wire form of a chart.
func (body *Usage) fill(c chart, watermark schemas.Millis, name func(key string) *string) {
	total := schemas.Total{}
	body.Series = make([]UsageSeries, len(c.keys))
	totals := make(map[string]schemas.Total, len(c.keys))
	for i, key := range c.keys {
		sum, points := pointsOf(c.edges, c.lines[key], watermark)
		total, totals[key] = total.Add(sum), sum
		body.Series[i] = UsageSeries{Key: key, Name: name(key), Total: decimal(sum), Points: points}
	}
	// The ranking was read a moment earlier than the figures.
	slices.SortStableFunc(body.Series, func(a, b UsageSeries) int { return totals[b.Key].Cmp(totals[a.Key]) })
	if c.other != nil {
		sum, points := pointsOf(c.edges, c.other, watermark)
		total = total.Add(sum)
		body.Other = &UsageSeries{Key: "other", Total: decimal(sum), Points: points}
	}
	body.Total = decimal(total)
}

// pointsOf makes the wire form of one line, zeros included, and its net sum.
func pointsOf(edges []schemas.Millis, line []usage, watermark schemas.Millis) (schemas.Total, []UsagePoint) {
	total := schemas.Total{}
	points := make([]UsagePoint, len(line))
	for i, bucket := range line {
		total = total.Add(bucket.net)
		points[i] = UsagePoint{
			Start: instant(edges[i]), End: instant(edges[i+1]),
			Credits: decimal(bucket.net), Refunds: decimal(bucket.refunds), Events: bucket.events,
			Complete: watermark != schemas.NoInstant && edges[i+1] <= watermark,
		}
	}
	return total, points
}

// joinEdges puts the edges of the previous range before those of the range;
// the last of the former is the first of the latter.
func joinEdges(before, edges []schemas.Millis) []schemas.Millis {
	if len(before) == 0 {
		return edges
	}
	return slices.Concat(before[:len(before)-1], edges)
}

// aboutWorkspace is what defaults come from.
type aboutWorkspace struct {
	settings
	entries []balance.Entry
	period  span
}

func (s *Server) workspace(ctx context.Context, workspaceID string, fresh freshness) (aboutWorkspace, error) {
	var about aboutWorkspace
	var err error
	if about.settings, err = s.settings(ctx, workspaceID, fresh); err != nil {
		return about, err
	}
	if about.entries, err = s.entries(ctx, workspaceID, fresh); err != nil {
		return about, err
	}
	about.period, err = currentPeriod(about.entries, ledgerNow(fresh.at))
	return about, err
}
