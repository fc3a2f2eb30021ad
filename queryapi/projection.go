package queryapi

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// Outlook is how a workspace goes on, as things are or as one asks what if.
type Outlook struct {
	WorkspaceID string         `json:"workspace_id"`
	From        Instant        `json:"from"`
	To          Instant        `json:"to"`
	WhatIf      WhatIf         `json:"what_if" doc:"What was asked for, read"`
	Runway      Runway         `json:"runway" doc:"Under the what-if"`
	Baseline    Runway         `json:"baseline" doc:"The runway as things are"`
	Balance     []BalancePoint `json:"balance" nullable:"false" doc:"What will be left, from now to the end of the period and at least eight weeks, also where a grant begins, one expires and nothing is left; at most 2,000 points, of a ledger with more such instants an even choice. Empty where nothing forecasts"`
	Unused      []UnusedPoint  `json:"unused" nullable:"false" doc:"Credits that will be left of grants when they expire, soonest first; the soonest 2,000"`
	Burn        BurnChange     `json:"burn" doc:"Gross credits per hour of the last day, as they were, and what makes the change"`
	Figures
}

// WhatIf is what is changed about the future.
type WhatIf struct {
	Pause []string `json:"pause" nullable:"false" doc:"Campaigns that use nothing from now on"`
	Scale float64  `json:"scale" doc:"Factor of all usage"`
	Grant *Decimal `json:"grant" doc:"Credits that are added; null: none"`
}

// BalancePoint is what will be left at an instant.
type BalancePoint struct {
	At  Instant `json:"at"`
	P10 Decimal `json:"p10" doc:"10 % chance that less is left"`
	P50 Decimal `json:"p50"`
	P90 Decimal `json:"p90"`
}

// UnusedPoint is what expires at an instant.
type UnusedPoint struct {
	At  Instant `json:"at"`
	P10 Decimal `json:"p10" doc:"10 % chance that it is less"`
	P50 Decimal `json:"p50"`
	P90 Decimal `json:"p90"`
}

// BurnChange is how fast credits go, and whose doing that is.
type BurnChange struct {
	PerHour        Decimal        `json:"per_hour"`
	SinceYesterday Decimal        `json:"since_yesterday" doc:"More than the day before; negative: less"`
	SinceLastWeek  Decimal        `json:"since_last_week" doc:"More than the same day a week ago"`
	Summary        string         `json:"summary" doc:"For people"`
	Contributions  []Contribution `json:"contributions" nullable:"false" doc:"The largest change since yesterday first; the first 100, and what is paused by the what-if"`
	Other          *OtherBurn     `json:"other" doc:"The sum of the campaigns that are not among them; null: all are"`
}

// TransformSchema lets other be null.
func (BurnChange) TransformSchema(_ huma.Registry, schema *huma.Schema) *huma.Schema {
	return nullable(schema, "other")
}

// OtherBurn is the part of many campaigns in how fast credits go.
type OtherBurn struct {
	Campaigns      int     `json:"campaigns" doc:"How many"`
	PerHour        Decimal `json:"per_hour"`
	SinceYesterday Decimal `json:"since_yesterday"`
	SinceLastWeek  Decimal `json:"since_last_week"`
}

// Contribution is a campaign's part in it.
type Contribution struct {
	CampaignID     string   `json:"campaign_id" doc:"Empty: unattributed"`
	Name           *string  `json:"name"`
	PerHour        Decimal  `json:"per_hour"`
	SharePercent   *float64 `json:"share_percent" doc:"Of per_hour; null: nothing was used"`
	SinceYesterday Decimal  `json:"since_yesterday"`
	SinceLastWeek  Decimal  `json:"since_last_week"`
	ChangePercent  *float64 `json:"change_percent" doc:"Of the workspace's change since yesterday; null: there is none"`
}

// OutlookInput are the parameters.
type OutlookInput struct {
	WorkspaceID    string  `path:"workspace_id"`
	Pause          string  `query:"pause" maxLength:"8192" doc:"Ids of campaigns, separated by commas: what if they used nothing from now on" example:"cmp_1,cmp_2"`
	Scale          float64 `query:"scale" minimum:"0" maximum:"1000" default:"1" doc:"What if so many times as much were used"`
	Grant          string  `query:"grant" doc:"What if so many credits were granted" example:"5000"`
	GrantExpiresAt string  `query:"grant_expires_at" doc:"When those expire, in the future; default: never" example:"2027-01-01T00:00:00Z"`
	Conditional

	pause          []string
	grant          schemas.Credits // 0: none
	grantExpiresAt schemas.Millis
}

// Resolve names every wrong parameter.
func (in *OutlookInput) Resolve(ctx huma.Context) []error {
	in.note(ctx)
	errs := strict(ctx)
	for id := range strings.SplitSeq(in.Pause, ",") {
		if id == "" {
			continue
		}
		if !idPattern.MatchString(id) {
			errs = append(errs, wrong("query.pause", in.Pause, "not ids of campaigns, separated by commas"))
			break
		}
		in.pause = append(in.pause, id)
	}
	slices.Sort(in.pause)
	in.pause = slices.Compact(in.pause)
	if math.IsNaN(in.Scale) {
		errs = append(errs, wrong("query.scale", in.Scale, "not a number"))
	}
	var err error
	if in.Grant != "" {
		if in.grant, err = schemas.ParseCredits(in.Grant); err != nil || in.grant <= 0 || in.grant > schemas.MaxLedgerCredits {
			errs = append(errs, wrong("query.grant", in.Grant, "not an amount of credits above 0"))
		}
	}
	if in.grantExpiresAt, err = instantParam("grant_expires_at", in.GrantExpiresAt); err != nil {
		errs = append(errs, err)
	}
	return errs
}

func (s *Server) registerProjection(api huma.API) {
	register(s, api, huma.Operation{
		OperationID: "get-projection", Method: http.MethodGet, Path: "/v1/workspaces/{workspace_id}/projection",
		Metadata: needs(ScopeRead),
		Summary:  "When it will run out, because of what, and what if",
	}, s.outlook)
}

func (s *Server) outlook(ctx context.Context, in *OutlookInput) (*Answer[Outlook], error) {
	q := question{workspace: in.WorkspaceID, Conditional: in.Conditional}
	return answered(ctx, s, q, func(ctx context.Context, fresh freshness) (*Outlook, error) { return s.outlookAt(ctx, in, fresh) })
}

// outlookAt makes the body.
func (s *Server) outlookAt(ctx context.Context, in *OutlookInput, fresh freshness) (*Outlook, error) {
	if in.grantExpiresAt != schemas.NoInstant && in.grantExpiresAt <= ledgerNow(fresh.at) {
		// Nor could anything be given that is over, it would cut the past.
		return nil, problem(CodeInvalidParameter, "not in the future").about("query.grant_expires_at", in.GrantExpiresAt)
	}
	entries, err := s.entries(ctx, in.WorkspaceID, fresh)
	if err != nil {
		return nil, err
	}
	states, err := s.campaignStates(ctx, in.WorkspaceID, fresh)
	if err != nil {
		return nil, err
	}
	future, err := s.projections(ctx, in.WorkspaceID, fresh)
	if err != nil {
		return nil, err
	}
	for _, id := range in.pause {
		if _, stated := states[id]; !stated && future[id] == nil {
			return nil, problem(CodeInvalidParameter, "no counted record names campaign %q in this workspace", id).about("query.pause", in.Pause)
		}
	}
	burn, err := planBurn(entries, ledgerNow(fresh.at), timeEnd, windowEndAt(fresh))
	if err != nil {
		return nil, err
	}
	rows, err := s.sums(ctx, "projection", rollup.Query{Workspace: in.WorkspaceID, Edges: burn.edges, Group: rollup.ByNone})
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		burn.add(burn.edges[row.interval], row.usage)
	}
	body := &Outlook{WorkspaceID: in.WorkspaceID, WhatIf: WhatIf{Pause: append([]string{}, in.pause...), Scale: in.Scale}, Balance: []BalancePoint{}, Unused: []UnusedPoint{}}
	if in.grant > 0 {
		grant := decimal(in.grant.Total())
		body.WhatIf.Grant = &grant
	}
	var today map[string]schemas.Total
	if body.Burn, today, err = s.burnChange(ctx, in.WorkspaceID, states, windowEndAt(fresh), in.pause); err != nil {
		return nil, err
	}
	return body, body.foresee(in, burn, future[wholeWorkspace], in.paused(states, future), today, fresh)
}

// outlookWeeks is how far the balance is shown at least: what a forecast learns
// from.
const outlookWeeks = 8

// paused are the curves of the campaigns that pause. One that ends is no part of
// what is used after its end, so nothing is saved by its pause then.
func (in *OutlookInput) paused(states map[string]campaignState, future projections) []*forecast.Sampled {
	var curves []*forecast.Sampled
	for _, id := range in.pause {
		p := future[id]
		if p == nil {
			continue
		}
		curve := p.curve
		if state, stated := states[id]; stated && state.endsAt != schemas.NoInstant {
			curve = curve.Ending()
		}
		curves = append(curves, &curve)
	}
	return curves
}

// foresee fills in what becomes of the balance, as things are and under the
// what-if; whole is what the workspace will use, of which paused are no part
// then, and today what campaigns used in the last day, gross.
func (body *Outlook) foresee(in *OutlookInput, burn *burning, whole *projected, paused []*forecast.Sampled, today map[string]schemas.Total, fresh freshness) error {
	state, err := balance.Burn(burn.entries, burn.segments, burn.at)
	if err != nil {
		return err
	}
	from := fresh.at - fresh.at%minuteMillis
	to := max(state.Period.To, from+outlookWeeks*7*dayMillis)
	body.From, body.To = instant(from), instant(to)
	if body.Baseline, err = burn.runway(state, whole); err != nil {
		return err
	}
	changed := *burn
	if in.grant > 0 {
		changed.entries = append(slices.Clone(burn.entries), grantNow(in, burn.at))
		// The grant is a cut of its own.
		if changed.segments, err = withCut(changed.entries, burn.segments, burn.at); err != nil {
			return err
		}
		if state, err = balance.Burn(changed.entries, changed.segments, burn.at); err != nil {
			return err
		}
	}
	if !whole.known() {
		// The rate of the last day, without that of the campaigns and changed.
		rate := burn.gross[runwayWindow]
		for _, id := range in.pause {
			rate = rate.Sub(today[id])
		}
		changed.gross[runwayWindow] = forecast.Total(rate.Float() * in.Scale)
		body.Runway, err = changed.runway(state, nil)
		return err
	}
	ahead := *whole
	ahead.curve = whole.curve.Without(paused)
	ahead.curve = ahead.curve.Times(in.Scale)
	if body.Runway, err = changed.runway(state, &ahead); err != nil {
		return err
	}
	return body.fill(changed.entries, changed.segments, state, &ahead, from, to)
}

// grantNow is the grant of a what-if, effective in the minute that has begun.
func grantNow(in *OutlookInput, at schemas.Millis) balance.Entry {
	effective := at - at%minuteMillis
	return balance.Entry{
		Type: schemas.CreditsGranted, EventID: "what-if", GrantID: "what-if", Class: schemas.Paid, Priority: schemas.DefaultPriority,
		Credits: in.grant, At: effective, Offset: math.MaxUint64, EffectiveAt: effective, ExpiresAt: in.grantExpiresAt,
	}
}

// withCut spreads the usage of known segments over those of a ledger that has a
// cut more, at the beginning of the minute of at: what is used since counts to
// the segment before it, because nothing tells it apart, and it is the last.
func withCut(entries []balance.Entry, known []balance.Segment, at schemas.Millis) ([]balance.Segment, error) {
	segments, err := balance.Segments(entries, at)
	if err != nil {
		return nil, err
	}
	for i := range segments {
		if i < len(known) {
			segments[i].Net = known[i].Net
		}
	}
	return segments, nil
}

// outlookPoints is how many points the balance is shown with, beside the
// instants at which something happens.
const outlookPoints = 60

// fill makes the curves of what is left and of what expires.
func (body *Outlook) fill(entries []balance.Entry, segments []balance.Segment, state *balance.State, ahead *projected, from, to schemas.Millis) error {
	quantiles := [...]forecast.Quantile{forecast.P90, forecast.P50, forecast.P10} // of usage: little is left where much is used
	var futures [len(quantiles)]balance.Future
	var grid []schemas.Millis
	for i := range schemas.Millis(outlookPoints) + 1 {
		point := from + (to-from)*i/outlookPoints
		grid = append(grid, point-point%minuteMillis)
	}
	kept, changes := []schemas.Millis{grid[0], grid[outlookPoints]}, []schemas.Millis{}
	for i, q := range quantiles {
		var err error
		if futures[i], err = balance.Foresee(entries, segments, state, ahead.curve.Along(q), to); err != nil {
			return err
		}
		if at := futures[i].ExhaustedAt; at != schemas.NoInstant && exhaustedMinute(at) <= to {
			kept = append(kept, exhaustedMinute(at))
		}
		for _, change := range futures[i].Changes {
			changes = append(changes, change.At)
		}
	}
	at := curveInstants(kept, changes, grid, schemas.MaxPoints)
	var left [len(quantiles)][]Decimal
	for i, q := range quantiles {
		left[i] = leftAt(state, futures[i].Changes, ahead.curve.Along(q), at)
	}
	for i, instantAt := range at {
		body.Balance = append(body.Balance, BalancePoint{instant(instantAt), left[0][i], left[1][i], left[2][i]})
	}
	body.Unused = unusedPoints(futures)
	return nil
}

// curveInstants are the instants of a curve, ascending and at most so many:
// those that are kept, those at which it changes, an even choice if they are
// too many, and a grid for as long as there is room for all of it.
func curveInstants(kept, changes, grid []schemas.Millis, most int) []schemas.Millis {
	sorted := func(lists ...[]schemas.Millis) []schemas.Millis {
		all := slices.Concat(lists...)
		slices.Sort(all)
		return slices.Compact(all)
	}
	if all := sorted(kept, changes, grid); len(all) <= most {
		return all
	}
	kept, changes = sorted(kept), sorted(changes)
	room := most - len(kept)
	if len(changes) <= room {
		return sorted(kept, changes)
	}
	chosen := make([]schemas.Millis, room)
	for i := range chosen {
		chosen[i] = changes[i*len(changes)/room]
	}
	return sorted(kept, chosen)
}

// leftAt is what is left at ascending instants if usage goes on along a curve.
func leftAt(state *balance.State, changes []balance.Change, curve balance.Outlook, at []schemas.Millis) []Decimal {
	left, changed, next, before := make([]Decimal, len(at)), schemas.Total{}, 0, curve.Used(state.At)
	for i, instantAt := range at {
		for ; next < len(changes) && changes[next].At <= instantAt; next++ {
			changed = changed.Add(changes[next].Delta)
		}
		used := curve.Used(instantAt).Sub(before).Max(schemas.Total{})
		left[i] = decimal(state.Remaining.Sub(used).Add(changed))
	}
	return left
}

// unusedPoints puts together what expires; much expires where little is used.
func unusedPoints(futures [3]balance.Future) []UnusedPoint {
	points := []UnusedPoint{}
	var amounts [2]map[schemas.Millis]schemas.Total
	for i := range amounts {
		amounts[i] = make(map[schemas.Millis]schemas.Total, len(futures[i].Unused))
		for _, unused := range futures[i].Unused {
			amounts[i][unused.At] = unused.Credits
		}
	}
	most := futures[2].Unused
	for _, unused := range most[:min(len(most), schemas.MaxPoints)] {
		points = append(points, UnusedPoint{
			At: instant(unused.At), P10: decimal(amounts[0][unused.At]), P50: decimal(amounts[1][unused.At]), P90: decimal(unused.Credits),
		})
	}
	return points
}

// maxContributions is how many campaigns are named as causes: more than anybody
// reads, and some 25 kB.
const maxContributions = 100

// burnChange compares the last day with the one before and with the same one a
// week ago, campaign by campaign, and returns what each used in it, gross.
// Beyond the largest, those that are named are named.
func (s *Server) burnChange(ctx context.Context, workspaceID string, states map[string]campaignState, end schemas.Millis, named []string) (BurnChange, map[string]schemas.Total, error) {
	const day = dayMillis
	q := rollup.Query{
		Workspace: workspaceID, Group: rollup.ByCampaign,
		Edges: []schemas.Millis{end - 8*day, end - 7*day, end - 2*day, end - day, end},
	}
	rows, err := s.sums(ctx, "burn_change", q)
	if err != nil {
		return BurnChange{}, nil, err
	}
	type days struct{ weekAgo, yesterday, today schemas.Total }
	var whole days
	byCampaign := make(map[string]*days)
	for _, row := range rows {
		d, ok := byCampaign[row.key]
		if !ok {
			d = &days{}
			byCampaign[row.key] = d
		}
		for _, sum := range []*days{d, &whole} {
			switch row.interval {
			case 0:
				sum.weekAgo = sum.weekAgo.Add(row.gross())
			case 2:
				sum.yesterday = sum.yesterday.Add(row.gross())
			case 3:
				sum.today = sum.today.Add(row.gross())
			}
		}
	}
	perHour := func(t schemas.Total) Decimal {
		rate, _ := scaled(t, 1, 24) // a day's cannot overflow
		return decimal(rate)
	}
	change := func(d *days) schemas.Total { return d.today.Sub(d.yesterday) }
	body := BurnChange{
		PerHour: perHour(whole.today), SinceYesterday: perHour(change(&whole)),
		SinceLastWeek: perHour(whole.today.Sub(whole.weekAgo)), Contributions: []Contribution{},
	}
	ids := make([]string, 0, len(byCampaign))
	for id := range byCampaign {
		ids = append(ids, id)
	}
	size := func(id string) schemas.Total {
		c := change(byCampaign[id])
		return c.Max(c.Neg())
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(size(b).Cmp(size(a)), cmp.Compare(a, b)) })
	var rest days
	left := 0
	for i, id := range ids {
		d := byCampaign[id]
		if i >= maxContributions && !slices.Contains(named, id) {
			left++
			rest.weekAgo, rest.yesterday, rest.today = rest.weekAgo.Add(d.weekAgo), rest.yesterday.Add(d.yesterday), rest.today.Add(d.today)
			continue
		}
		c := Contribution{
			CampaignID: id, Name: stringOrNull(states[id].name), PerHour: perHour(d.today), SharePercent: percent(d.today, whole.today),
			SinceYesterday: perHour(change(d)), SinceLastWeek: perHour(d.today.Sub(d.weekAgo)),
		}
		if total := change(&whole); total.Sign() != 0 {
			share := math.Round(change(d).Float()/total.Float()*10_000) / 100
			c.ChangePercent = &share
		}
		body.Contributions = append(body.Contributions, c)
	}
	if left > 0 {
		body.Other = &OtherBurn{
			Campaigns: left, PerHour: perHour(rest.today), SinceYesterday: perHour(change(&rest)), SinceLastWeek: perHour(rest.today.Sub(rest.weekAgo)),
		}
	}
	body.Summary = body.summary()
	today := make(map[string]schemas.Total, len(byCampaign))
	for id, d := range byCampaign {
		today[id] = d.today
	}
	return body, today, nil
}

// summary says it in a sentence.
func (b *BurnChange) summary() string {
	if len(b.Contributions) == 0 {
		return "Nothing was used in the last eight days."
	}
	first := b.Contributions[0]
	if first.ChangePercent == nil {
		return fmt.Sprintf("%s credits per hour were used in the last day, as many as in the day before.", b.PerHour)
	}
	name := "Usage without a campaign"
	switch {
	case first.Name != nil:
		name = *first.Name
	case first.CampaignID != "":
		name = first.CampaignID
	}
	direction := "increase"
	if strings.HasPrefix(string(b.SinceYesterday), "-") {
		direction = "decrease"
	}
	if *first.ChangePercent <= 0 {
		return fmt.Sprintf("%s credits per hour were used in the last day; %s went against the %s since the day before.", b.PerHour, name, direction)
	}
	return fmt.Sprintf("%s is %.0f %% of the %s since the day before.", name, min(*first.ChangePercent, 100), direction)
}
