package queryapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// Balance is what a workspace has left.
type Balance struct {
	WorkspaceID   string         `json:"workspace_id"`
	AsOf          *Instant       `json:"as_of" doc:"The instant asked for; null: everything counted, grants as of now"`
	Remaining     Decimal        `json:"remaining" doc:"What active grants hold, less overdraft; negative in overdraft"`
	Allocated     Decimal        `json:"allocated" doc:"Credits of active grants; remaining may exceed it"`
	Used          Decimal        `json:"used" doc:"What was drained from active grants"`
	Overdraft     Decimal        `json:"overdraft" doc:"What no grant covered, >= 0"`
	DaysRemaining *int64         `json:"days_remaining" doc:"Days until expires_at, rounded up; null without expiry"`
	ExpiresAt     *Instant       `json:"expires_at" doc:"Soonest expiry among active grants that hold credits"`
	Period        BalancePeriod  `json:"period" doc:"Of the active paid grant that expires first, else the calendar month in UTC"`
	Grants        []BalanceGrant `json:"grants" nullable:"false"`
	BurnRate      BurnRate       `json:"burn_rate" doc:"Gross credits per hour over the windows that end at as_of, else at the last whole minute that is both past and before the watermark"`
	Runway        Runway         `json:"runway"`
	Figures
}

// BalancePeriod is [from, to).
type BalancePeriod struct {
	From Instant `json:"from"`
	To   Instant `json:"to"`
}

// BalanceGrant is a grant, or a carry-over or adjustment that acts as one.
type BalanceGrant struct {
	GrantID     string   `json:"grant_id"`
	Class       string   `json:"class" enum:"paid,promo"`
	Priority    uint16   `json:"priority" doc:"Lower is drained first"`
	Credits     Decimal  `json:"credits"`
	Used        Decimal  `json:"used"`
	Remaining   Decimal  `json:"remaining"`
	EffectiveAt Instant  `json:"effective_at"`
	ExpiresAt   *Instant `json:"expires_at"`
	Status      string   `json:"status" enum:"active,scheduled,exhausted,expired,voided"`
}

// BurnRate is gross credits per hour by window.
type BurnRate struct {
	Minutes5 Decimal `json:"5m"`
	Hour1    Decimal `json:"1h"`
	Hours6   Decimal `json:"6h"`
	Hours24  Decimal `json:"24h"`
	Days7    Decimal `json:"7d"`
}

// BalanceInput are the parameters.
type BalanceInput struct {
	WorkspaceID string `path:"workspace_id"`
	AsOf        string `query:"as_of" doc:"A whole minute, RFC 3339: event time before it with all that is known now" example:"2026-11-22T09:00:00Z"`
	Conditional

	asOf schemas.Millis // NoInstant: not given
}

// Resolve names every wrong parameter.
func (in *BalanceInput) Resolve(ctx huma.Context) []error {
	in.note(ctx)
	errs := strict(ctx)
	var err error
	if in.asOf, err = instantParam("as_of", in.AsOf); err != nil {
		errs = append(errs, err)
	} else if in.asOf != schemas.NoInstant && in.asOf%minuteMillis != 0 {
		errs = append(errs, wrong("query.as_of", in.AsOf, "not a whole minute"))
	}
	return errs
}

func (s *Server) registerBalance(api huma.API) {
	register(s, api, huma.Operation{
		OperationID: "get-balance", Method: http.MethodGet, Path: "/v1/workspaces/{workspace_id}/balance",
		Metadata: needs(ScopeRead),
		Summary:  "What is left, until when, and how fast it goes",
	}, s.balance)
}

// burnWindows in the order of BurnRate.
var burnWindows = [...]time.Duration{5 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}

// runwayWindow is the index of the window whose rate the runway takes: a whole
// day, so that the hour of the day does not matter.
const runwayWindow = 3

func (s *Server) balance(ctx context.Context, in *BalanceInput) (*Answer[Balance], error) {
	if in.asOf != schemas.NoInstant && in.asOf > s.now() {
		return nil, problem(CodeUseProjection, "as_of is in the future").about("query.as_of", in.AsOf)
	}
	return s.balanceAnswer(ctx, in)
}

// balanceAnswer answers whoever may ask.
func (s *Server) balanceAnswer(ctx context.Context, in *BalanceInput) (*Answer[Balance], error) {
	return answered(ctx, s, question{workspace: in.WorkspaceID, Conditional: in.Conditional}, func(ctx context.Context, fresh freshness) (*Balance, error) {
		return s.balanceAt(ctx, in, fresh)
	})
}

// balanceAt makes the body.
func (s *Server) balanceAt(ctx context.Context, in *BalanceInput, fresh freshness) (*Balance, error) {
	entries, err := s.entries(ctx, in.WorkspaceID, fresh)
	if err != nil {
		return nil, err
	}
	at, usageEnd, windowEnd := in.asOf, in.asOf, in.asOf
	var future projections // of then, nothing is known any more
	if in.asOf == schemas.NoInstant {
		at, usageEnd, windowEnd = ledgerNow(fresh.at), timeEnd, windowEndAt(fresh)
		if future, err = s.projections(ctx, in.WorkspaceID, fresh); err != nil {
			return nil, err
		}
	}
	b, err := planBurn(entries, at, usageEnd, windowEnd)
	if err != nil {
		return nil, err
	}
	// In one statement (invariant 3).
	rows, err := s.sums(ctx, "balance", rollup.Query{Workspace: in.WorkspaceID, Edges: b.edges, Group: rollup.ByNone})
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		b.add(b.edges[row.interval], row.usage)
	}
	body, err := b.balance(future[wholeWorkspace])
	if err != nil {
		return nil, err
	}
	body.WorkspaceID, body.AsOf = in.WorkspaceID, instantOrNull(in.asOf)
	return body, nil
}

// windowEndAt is where burn windows end without as_of.
func windowEndAt(fresh freshness) schemas.Millis {
	end := fresh.at
	if fresh.Watermark != schemas.NoInstant {
		end = min(end, fresh.Watermark)
	}
	return end - end%minuteMillis
}

// burning is a ledger and the usage that a balance takes from it: net usage per
// segment of the ledger, the last one to usageEnd, and gross usage of each burn
// window.
type burning struct {
	entries             []balance.Entry
	segments            []balance.Segment
	gross               [len(burnWindows)]schemas.Total
	at                  schemas.Millis
	usageEnd, windowEnd schemas.Millis
	edges               []schemas.Millis // between which usage is to be summed up
	remaining           schemas.Total    // once it is burnt down
}

func planBurn(entries []balance.Entry, at, usageEnd, windowEnd schemas.Millis) (*burning, error) {
	segments, err := balance.Segments(entries, at)
	if err != nil {
		return nil, err
	}
	b := &burning{entries: entries, segments: segments, at: at, usageEnd: usageEnd, windowEnd: windowEnd}
	b.edges = []schemas.Millis{usageEnd, windowEnd}
	for _, segment := range segments {
		b.edges = append(b.edges, segment.From)
	}
	for _, window := range burnWindows {
		b.edges = append(b.edges, windowEnd-schemas.Millis(window.Milliseconds()))
	}
	slices.Sort(b.edges)
	b.edges = slices.Compact(b.edges)
	return b, nil
}

// add adds what was used between an edge and the next.
func (b *burning) add(from schemas.Millis, used usage) {
	// The last segment that starts at or before the interval.
	i, starts := slices.BinarySearchFunc(b.segments, from, func(segment balance.Segment, at schemas.Millis) int {
		return int(min(max(segment.From-at, -1), 1))
	})
	if !starts {
		i--
	}
	if i >= 0 && from < b.usageEnd {
		b.segments[i].Net = b.segments[i].Net.Add(used.net)
	}
	for w, window := range burnWindows {
		if from < b.windowEnd && from >= b.windowEnd-schemas.Millis(window.Milliseconds()) {
			b.gross[w] = b.gross[w].Add(used.gross())
		}
	}
}

// balance burns down what was added; ahead is what will be used, nil: not known.
func (b *burning) balance(ahead *projected) (*Balance, error) {
	state, err := balance.Burn(b.entries, b.segments, b.at)
	if err != nil {
		return nil, err
	}
	run, err := b.runway(state, ahead)
	if err != nil {
		return nil, err
	}
	body, err := balanceBody(state, b.gross)
	if err != nil {
		return nil, err
	}
	body.Runway, b.remaining = run, state.Remaining
	return body, nil
}

// runway is when state, which was made of what was added, reaches 0.
func (b *burning) runway(state *balance.State, ahead *projected) (Runway, error) {
	if ahead.known() {
		return ahead.runway(b.entries, b.segments, state)
	}
	return runwayOf(b.entries, b.segments, state, b.gross[runwayWindow], burnWindows[runwayWindow])
}

// balanceBody makes the wire form of what Burn says.
func balanceBody(state *balance.State, windows [len(burnWindows)]schemas.Total) (*Balance, error) {
	body := &Balance{
		Remaining: decimal(state.Remaining),
		Allocated: decimal(state.Allocated),
		Used:      decimal(state.Used),
		Overdraft: decimal(state.Overdraft),
		ExpiresAt: instantOrNull(state.ExpiresAt),
		Period:    BalancePeriod{From: instant(state.Period.From), To: instant(state.Period.To)},
		Grants:    make([]BalanceGrant, len(state.Grants)),
	}
	if state.ExpiresAt != schemas.NoInstant {
		body.DaysRemaining = &state.DaysRemaining
	}
	for i, g := range state.Grants {
		class := "promo"
		if g.Class == schemas.Paid {
			class = "paid"
		}
		body.Grants[i] = BalanceGrant{
			GrantID: g.GrantID, Class: class, Priority: g.Priority,
			Credits: decimal(g.Credits), Used: decimal(g.Used), Remaining: decimal(g.Remaining),
			EffectiveAt: instant(g.EffectiveAt), ExpiresAt: instantOrNull(g.ExpiresAt), Status: string(g.Status),
		}
	}
	for i, rate := range []*Decimal{
		&body.BurnRate.Minutes5, &body.BurnRate.Hour1, &body.BurnRate.Hours6, &body.BurnRate.Hours24, &body.BurnRate.Days7,
	} {
		perHour, err := scaled(windows[i], int64(time.Hour), int64(burnWindows[i]))
		if err != nil {
			return nil, fmt.Errorf("cannot make a burn rate: %w", err)
		}
		*rate = decimal(perHour)
	}
	return body, nil
}
