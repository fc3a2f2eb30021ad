package queryapi

import (
	"context"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// CampaignDetail is one campaign over time.
type CampaignDetail struct {
	WorkspaceID string `json:"workspace_id"`
	Campaign
	StartsAt      *Instant       `json:"starts_at" doc:"As the last campaign.updated has it; null: it says nothing"`
	EndsAt        *Instant       `json:"ends_at" doc:"The same"`
	Usage         CampaignSeries `json:"usage" doc:"Net credits in the range, by bucket"`
	Projection    CampaignCurve  `json:"projection"`
	StatusChanges []StatusChange `json:"status_changes" nullable:"false" doc:"Oldest first; the first is the first status"`
	Figures
}

// CampaignSeries is usage over time, cut as in /usage.
type CampaignSeries struct {
	From   Instant      `json:"from"`
	To     Instant      `json:"to"`
	Bucket string       `json:"bucket" enum:"1m,15m,1h,1d,1w,1mo"`
	TZ     string       `json:"tz"`
	Total  Decimal      `json:"total"`
	Points []UsagePoint `json:"points" nullable:"false"`
}

// CampaignCurve is how the projection comes about.
type CampaignCurve struct {
	Projection
	Curve []CurvePoint `json:"curve" nullable:"false" doc:"Credits used over the whole life, by instant to come; empty where nothing forecasts"`
}

// CurvePoint is what will have been used by at.
type CurvePoint struct {
	At  Instant `json:"at"`
	P10 Decimal `json:"p10"`
	P50 Decimal `json:"p50"`
	P90 Decimal `json:"p90"`
}

// StatusChange is a campaign.updated that changed the status.
type StatusChange struct {
	At     Instant `json:"at"`
	Status string  `json:"status" enum:"ACTIVE,PAUSED,COMPLETED,DRAFT"`
}

// CampaignInput are the parameters.
type CampaignInput struct {
	WorkspaceID string `path:"workspace_id"`
	CampaignID  string `path:"campaign_id"`
	Range
	BucketParams
	Conditional
}

// Resolve names every wrong parameter.
func (in *CampaignInput) Resolve(ctx huma.Context) []error {
	in.note(ctx)
	return slices.Concat(strict(ctx), in.Range.resolve(), in.BucketParams.resolve())
}

func (s *Server) campaign(ctx context.Context, in *CampaignInput) (*Answer[CampaignDetail], error) {
	if !idPattern.MatchString(in.CampaignID) {
		return nil, campaignNotFound(in.CampaignID)
	}
	q := question{workspace: in.WorkspaceID, Conditional: in.Conditional, fine: in.fine()}
	return answered(ctx, s, q, func(ctx context.Context, fresh freshness) (*CampaignDetail, error) {
		return s.campaignIn(ctx, in, fresh)
	})
}

// campaignIn makes the body.
func (s *Server) campaignIn(ctx context.Context, in *CampaignInput, fresh freshness) (*CampaignDetail, error) {
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
	rows, err := s.campaignRows(ctx, in.WorkspaceID, fresh, asked, about.period.to, &in.CampaignID)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, campaignNotFound(in.CampaignID)
	}
	query := rollup.Query{Workspace: in.WorkspaceID, Edges: cut.edges, Group: rollup.ByNone, Campaign: &in.CampaignID}
	sums, err := s.sums(ctx, "campaign_usage", query)
	if err != nil {
		return nil, err
	}
	changes, err := s.statusChanges(ctx, in.WorkspaceID, in.CampaignID)
	if err != nil {
		return nil, err
	}
	total, points := pointsOf(cut.edges, chartOf(sums, query, 0).lines[""], fresh.Watermark)
	item, startsAt, endsAt := rows[0].body(), (*Instant)(nil), (*Instant)(nil)
	if state := rows[0].state; rows[0].hasState {
		startsAt, endsAt = instantOrNull(state.startsAt), instantOrNull(state.endsAt)
	}
	return &CampaignDetail{
		WorkspaceID: in.WorkspaceID, Campaign: item, StartsAt: startsAt, EndsAt: endsAt,
		Usage: CampaignSeries{
			From: instant(asked.from), To: instant(asked.to), Bucket: string(cut.bucket), TZ: cut.zone.String(),
			Total: decimal(total), Points: points,
		},
		Projection:    CampaignCurve{Projection: item.Projected, Curve: rows[0].curve(fresh.at)},
		StatusChanges: changes,
	}, nil
}

// curve is how the campaign's projection comes about.
func (r *campaignRow) curve(now schemas.Millis) []CurvePoint {
	if r.over() {
		return []CurvePoint{}
	}
	return r.ahead.curveBody(now, r.life.net)
}

func campaignNotFound(campaignID string) *Problem {
	return problem(CodeCampaignNotFound, "no counted record names campaign %q in this workspace", campaignID)
}

const statusChangesQuery = `
SELECT time, status FROM campaigns
WHERE workspace_id = {workspace:String} AND campaign_id = {campaign:String}
ORDER BY time, epoch, koff`

// statusChanges reads the states in order and keeps those that changed the
// status.
func (s *Server) statusChanges(ctx context.Context, workspaceID, campaignID string) ([]StatusChange, error) {
	changes := []StatusChange{}
	bound := parameters{}
	bound.String("workspace", workspaceID)
	bound.String("campaign", campaignID)
	err := s.query(ctx, "status_changes", statusChangesQuery, bound, func(scan func(...any) error) error {
		var at time.Time
		var status string
		if err := scan(&at, &status); err != nil {
			return err
		}
		if len(changes) == 0 || changes[len(changes)-1].Status != status {
			changes = append(changes, StatusChange{At: instant(schemas.Millis(at.UnixMilli())), Status: status})
		}
		return nil
	})
	return changes, err
}
