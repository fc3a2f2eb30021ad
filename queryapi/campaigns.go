package queryapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// Campaigns is a page of a workspace's campaigns.
type Campaigns struct {
	WorkspaceID  string        `json:"workspace_id"`
	From         Instant       `json:"from"`
	To           Instant       `json:"to"`
	Items        []Campaign    `json:"items" nullable:"false"`
	NextCursor   *string       `json:"next_cursor" doc:"For the next page; null: this is the last"`
	Unattributed CampaignUsage `json:"unattributed" doc:"Usage in the range of no campaign"`
	Total        CampaignUsage `json:"total" doc:"Usage in the range of the whole workspace, whatever the filters and the page: all rows and unattributed add up to it"`
	Figures
}

// CampaignUsage is usage in the range.
type CampaignUsage struct {
	Used   Decimal `json:"used" doc:"Net credits"`
	Events int64   `json:"events"`
}

// Campaign is one campaign and what it used.
type Campaign struct {
	CampaignID       string     `json:"campaign_id"`
	Name             *string    `json:"name" doc:"null: no campaign.updated has named it"`
	Status           *string    `json:"status" enum:"ACTIVE,PAUSED,COMPLETED,DRAFT"`
	Quota            *Decimal   `json:"quota" doc:"Over the whole life; null: none"`
	QuotaUsed        Decimal    `json:"quota_used" doc:"Net credits over the whole life"`
	QuotaUsedPercent *float64   `json:"quota_used_percent" doc:"null without a quota"`
	Used             Decimal    `json:"used" doc:"Net credits in the range"`
	Projected        Projection `json:"projected" doc:"Credits that will have been used over the whole life"`
	QuotaExhaustsAt  *Instant   `json:"quota_exhausts_at"`
	LastEventAt      *Instant   `json:"last_event_at" doc:"To the millisecond; where raw events are gone, the start of its minute"`
}

// Projection is what a campaign will have used by at.
type Projection struct {
	P10    *Decimal `json:"p10"`
	P50    *Decimal `json:"p50"`
	P90    *Decimal `json:"p90"`
	At     *Instant `json:"at" doc:"End of the campaign, else of the workspace's period"`
	Method string   `json:"method" enum:"seasonal,run_rate,insufficient_data"`
}

// CampaignsInput are the parameters.
type CampaignsInput struct {
	WorkspaceID string `path:"workspace_id"`
	Range
	Status string `query:"status" enum:"ACTIVE,PAUSED,COMPLETED,DRAFT" doc:"Only campaigns with this status"`
	Q      string `query:"q" maxLength:"256" doc:"Only campaigns whose name or id contains this, in any case"`
	Sort   string `query:"sort" enum:"used,projected,quota,name" default:"used"`
	Order  string `query:"order" enum:"asc,desc" doc:"Default: asc by name, else desc; unknown values come last either way"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" maxLength:"16384" doc:"next_cursor of the page before, with the same parameters"`
	Conditional

	cursor *cursor
}

// Resolve names every wrong parameter.
func (in *CampaignsInput) Resolve(ctx huma.Context) []error {
	in.note(ctx)
	errs := slices.Concat(strict(ctx), in.resolve())
	if in.Order == "" {
		in.Order = "desc"
		if in.Sort == "name" {
			in.Order = "asc"
		}
	}
	if in.Cursor != "" {
		var err error
		if in.cursor, err = parseCursor(in.Cursor, in.listing()); err != nil {
			errs = append(errs, wrong("query.cursor", in.Cursor, "%v", err))
		}
	}
	return errs
}

// listing names what a cursor is good for.
func (in *CampaignsInput) listing() []string {
	return []string{in.WorkspaceID, in.From, in.To, in.Status, in.Q, in.Sort, in.Order}
}

func (s *Server) registerCampaigns(api huma.API) {
	register(s, api, huma.Operation{
		OperationID: "list-campaigns", Method: http.MethodGet, Path: "/v1/workspaces/{workspace_id}/campaigns",
		Metadata: needs(ScopeRead),
		Summary:  "Which campaigns used the credits",
	}, s.campaigns)
	register(s, api, huma.Operation{
		OperationID: "get-campaign", Method: http.MethodGet, Path: "/v1/workspaces/{workspace_id}/campaigns/{campaign_id}",
		Metadata: needs(ScopeRead),
		Summary:  "One campaign, its usage over time and its changes of status",
	}, s.campaign)
}

func (s *Server) campaigns(ctx context.Context, in *CampaignsInput) (*Answer[Campaigns], error) {
	q := question{workspace: in.WorkspaceID, Conditional: in.Conditional, fine: in.fine()}
	return answered(ctx, s, q, func(ctx context.Context, fresh freshness) (*Campaigns, error) { return s.campaignsIn(ctx, in, fresh) })
}

// campaignsIn makes the body.
func (s *Server) campaignsIn(ctx context.Context, in *CampaignsInput, fresh freshness) (*Campaigns, error) {
	about, err := s.workspace(ctx, in.WorkspaceID, fresh)
	if err != nil {
		return nil, err
	}
	asked, err := in.within(about.period, s.rawFrom())
	if err != nil {
		return nil, err
	}
	all, err := s.campaignRows(ctx, in.WorkspaceID, fresh, asked, about.period.to, nil)
	if err != nil {
		return nil, err
	}
	body := &Campaigns{
		WorkspaceID: in.WorkspaceID, From: instant(asked.from), To: instant(asked.to),
		Items: []Campaign{},
	}
	var total, unattributed usage
	for _, row := range all {
		total = total.add(row.inRange)
		if row.id == "" {
			unattributed = row.inRange
		}
	}
	body.Total = CampaignUsage{Used: decimal(total.net), Events: total.events}
	body.Unattributed = CampaignUsage{Used: decimal(unattributed.net), Events: unattributed.events}

	page, more := in.page(all)
	if more {
		next := cursorAfter(page[len(page)-1], in.Sort, in.listing())
		body.NextCursor = &next
	}
	for _, row := range page {
		body.Items = append(body.Items, row.body())
	}
	return body, nil
}

// campaignRow is a campaign in numbers; the row with id "" is what no campaign
// used.
type campaignRow struct {
	id          string
	state       campaignState // zero: none
	hasState    bool
	inRange     usage
	life        usage
	projectedAt schemas.Millis
	ahead       *projected     // nil: nothing is forecast
	lastEventAt schemas.Millis // NoInstant: never
}

// campaignRows reads every campaign that has a state or was ever used, or only
// one. Usage in the range and over the life come from one statement
// (invariant 3).
func (s *Server) campaignRows(ctx context.Context, workspaceID string, fresh freshness, asked span, periodEnd schemas.Millis, only *string) ([]*campaignRow, error) {
	edges := []schemas.Millis{timeBegin, asked.from, asked.to, timeEnd}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	states, err := s.campaignStates(ctx, workspaceID, fresh)
	if err != nil {
		return nil, err
	}
	sums, err := s.sums(ctx, "campaigns", rollup.Query{
		Workspace: workspaceID, Edges: edges, Group: rollup.ByCampaign, Campaign: only,
	})
	if err != nil {
		return nil, err
	}
	rows := make(map[string]*campaignRow, len(states))
	row := func(id string) *campaignRow {
		r, ok := rows[id]
		if !ok {
			r = &campaignRow{id: id, projectedAt: periodEnd, lastEventAt: schemas.NoInstant}
			rows[id] = r
		}
		return r
	}
	for id, state := range states {
		if only != nil && id != *only {
			continue
		}
		r := row(id)
		r.state, r.hasState = state, true
		if state.endsAt != schemas.NoInstant {
			r.projectedAt = state.endsAt
		}
	}
	for _, sum := range sums {
		r := row(sum.key)
		r.life = r.life.add(sum.usage)
		if edges[sum.interval] >= asked.from && edges[sum.interval] < asked.to {
			r.inRange = r.inRange.add(sum.usage)
		}
	}
	if err := s.setLastEvents(ctx, workspaceID, only, rows); err != nil {
		return nil, err
	}
	future, err := s.projections(ctx, workspaceID, fresh)
	if err != nil {
		return nil, err
	}
	for id, r := range rows {
		r.ahead = future[id]
	}
	list := make([]*campaignRow, 0, len(rows))
	for _, r := range rows {
		list = append(list, r)
	}
	return list, nil
}

// over says that the campaign will not use any more, as far as anybody said.
func (r *campaignRow) over() bool { return r.state.status == "PAUSED" || r.state.status == "COMPLETED" }

// projected is what the campaign will have used; nil: it is not known.
func (r *campaignRow) projected() *schemas.Total {
	switch {
	case r.over():
		return &r.life.net
	case r.ahead.known():
		median := r.ahead.by(r.ahead.at, forecast.P50, r.life.net)
		return &median
	}
	return nil
}

// body makes the wire form.
func (r *campaignRow) body() Campaign {
	item := Campaign{
		CampaignID: r.id, Name: stringOrNull(r.state.name), Status: stringOrNull(r.state.status),
		QuotaUsed: decimal(r.life.net), Used: decimal(r.inRange.net),
		Projected: Projection{Method: methodInsufficientData}, LastEventAt: instantOrNull(r.lastEventAt),
	}
	if r.state.quota != nil {
		quota := decimal(r.state.quota.Total())
		item.Quota = &quota
		item.QuotaUsedPercent = percent(r.life.net, r.state.quota.Total())
	}
	switch {
	case r.over():
		value, at := decimal(r.life.net), instant(r.projectedAt)
		item.Projected = Projection{P10: &value, P50: &value, P90: &value, At: &at, Method: methodRunRate}
	case r.ahead.known():
		item.Projected = r.ahead.projectionBody(r.life.net)
		item.QuotaExhaustsAt = instantOrNull(r.ahead.quotaAt)
	}
	return item
}

const lastEventsQuery = `
SELECT campaign_id, max(last_event_at) FROM campaign_activity
WHERE workspace_id = {workspace:String}%s
GROUP BY campaign_id`

// setLastEvents fills lastEventAt of rows, of all campaigns or of only one.
func (s *Server) setLastEvents(ctx context.Context, workspaceID string, only *string, rows map[string]*campaignRow) error {
	bound, filter := parameters{}, ""
	bound.String("workspace", workspaceID)
	if only != nil {
		bound.String("campaign", *only)
		filter = " AND campaign_id = {campaign:String}"
	}
	return s.query(ctx, "last_events", fmt.Sprintf(lastEventsQuery, filter), bound, func(scan func(...any) error) error {
		var id string
		var last time.Time
		if err := scan(&id, &last); err != nil {
			return err
		}
		// A campaign that is not among the sums yet is with the next answer.
		if row, ok := rows[id]; ok {
			row.lastEventAt = millisOf(last)
		}
		return nil
	})
}
