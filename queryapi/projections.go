package queryapi

import (
	"context"
	"maps"
	"math/big"
	"time"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

// The ids of campaign_projections that are no campaign's.
const (
	wholeWorkspace = "*"
	newCampaigns   = "+"
)

// projections are what the aggregator made last of a workspace.
type projections map[string]*projected // by campaign_id

// projected is what a campaign, or a workspace, will have used.
type projected struct {
	method    string
	watermark schemas.Millis // what had been counted when it was made
	at        schemas.Millis // end of its period
	used      schemas.Total  // by the watermark
	quotaAt   schemas.Millis // NoInstant: the quota is not reached, or there is none
	curve     forecast.Sampled
}

const projectionColumns = `campaign_id, method, watermark, at, used_micro, quota_exhausts_at, curve_at, curve_mean, curve_p10, curve_p50, curve_p90`

const projectionsQuery = `
SELECT ` + projectionColumns + `
FROM campaign_projections FINAL
WHERE workspace_id = {workspace:String}`

// maxProjectionAge is how far projections may be behind what is counted: the
// aggregator makes each anew every hour, so older ones are nobody's any more.
const maxProjectionAge = 2 * 60 * minuteMillis

// projections are what is known of a workspace's future: nothing where no
// aggregator has looked at it for hours. They change by the half minute and are
// read once in a minute of the clock, like answers are kept.
func (s *Server) projections(ctx context.Context, workspaceID string, fresh freshness) (projections, error) {
	minute := uint64((fresh.at + minuteMillis - 1) / minuteMillis)
	found, err := heldAs(ctx, s, "projections", workspaceID, minute, func(ctx context.Context) (projections, int, error) {
		found, err := s.readProjections(ctx, workspaceID)
		size := heldBytes
		for _, p := range found {
			size += heldBytes + 40*len(p.curve.At)
		}
		return found, size, err
	})
	if err != nil {
		return nil, err
	}
	whole, ok := found[wholeWorkspace]
	if !ok || fresh.Watermark == schemas.NoInstant || whole.watermark < fresh.Watermark-maxProjectionAge {
		return nil, nil
	}
	return found, nil
}

func (s *Server) readProjections(ctx context.Context, workspaceID string) (projections, error) {
	bound, found := parameters{}, make(projections)
	bound.String("workspace", workspaceID)
	err := s.query(ctx, "projections", projectionsQuery, bound, func(scan func(...any) error) error {
		id, p, err := scanProjection(scan)
		found[id] = p
		return err
	})
	// All of a workspace are made at once. What was not made again is of a
	// campaign that has not been used for as long as anybody looks.
	if whole, ok := found[wholeWorkspace]; ok && err == nil {
		maps.DeleteFunc(found, func(_ string, p *projected) bool { return p.watermark != whole.watermark })
	}
	return found, err
}

// scanProjection reads a row of projectionColumns, and what comes after them
// into more.
func scanProjection(scan func(...any) error, more ...any) (string, *projected, error) {
	var (
		id                  string
		watermark, at       time.Time
		used                big.Int
		quotaAt             *time.Time
		curveAt             []time.Time
		mean, p10, p50, p90 []float64
		p                   projected
	)
	err := scan(append([]any{&id, &p.method, &watermark, &at, &used, &quotaAt, &curveAt, &mean, &p10, &p50, &p90}, more...)...)
	if err != nil {
		return id, nil, err
	}
	if p.used, err = schemas.TotalFromBig(&used); err != nil {
		return id, nil, err
	}
	p.watermark, p.at, p.quotaAt = millisOf(watermark), millisOf(at), millisOrNone(quotaAt)
	p.curve.At, p.curve.Amounts = make([]schemas.Millis, len(curveAt)), make([]forecast.Amounts, len(curveAt))
	for i := range curveAt {
		p.curve.At[i] = millisOf(curveAt[i])
		p.curve.Amounts[i] = forecast.Amounts{Mean: mean[i], P10: p10[i], P50: p50[i], P90: p90[i]}
	}
	return id, &p, nil
}

// known says whether anything is forecast.
func (p *projected) known() bool { return p != nil && p.method != methodInsufficientData }

// by is what will have been used by an instant. More may have been counted
// since the projection was made than it expected.
func (p *projected) by(at schemas.Millis, q forecast.Quantile, counted schemas.Total) schemas.Total {
	return p.used.Add(forecast.Total(p.curve.Credits(at, q))).Max(counted)
}

// projectionBody is the wire form of what a campaign will have used, given
// what it has.
func (p *projected) projectionBody(counted schemas.Total) Projection {
	if !p.known() {
		return Projection{Method: methodInsufficientData}
	}
	at := instant(p.at)
	body := Projection{At: &at, Method: p.method}
	for _, c := range []struct {
		to *(*Decimal)
		q  forecast.Quantile
	}{{&body.P10, forecast.P10}, {&body.P50, forecast.P50}, {&body.P90, forecast.P90}} {
		value := decimal(p.by(p.at, c.q, counted))
		*c.to = &value
	}
	return body
}

// curveBody is the wire form of how a projection comes about, from an instant
// on.
func (p *projected) curveBody(from schemas.Millis, counted schemas.Total) []CurvePoint {
	points := []CurvePoint{}
	if !p.known() {
		return points
	}
	for _, at := range p.curve.At {
		if at <= from || at > p.at {
			continue
		}
		points = append(points, CurvePoint{
			At: instant(at), P10: decimal(p.by(at, forecast.P10, counted)),
			P50: decimal(p.by(at, forecast.P50, counted)), P90: decimal(p.by(at, forecast.P90, counted)),
		})
	}
	return points
}

// ForecastPoint is a bucket that is still to come.
type ForecastPoint struct {
	Start   Instant `json:"start"`
	End     Instant `json:"end"`
	Credits Decimal `json:"credits" doc:"Expected in the bucket, gross"`
	P10     Decimal `json:"p10" doc:"From the start of the first of these buckets to the end of this: 10 % chance that it is less"`
	P50     Decimal `json:"p50" doc:"The same, the median"`
	P90     Decimal `json:"p90" doc:"The same, 10 % chance that it is more"`
}

// forecastBody forecasts buckets, whose first starts now or later.
func (p *projected) forecastBody(edges []schemas.Millis, now schemas.Millis) []ForecastPoint {
	points := []ForecastPoint{}
	if !p.known() || len(edges) < 2 {
		return points
	}
	ahead := func(at schemas.Millis, q forecast.Quantile) float64 {
		return max(p.curve.Credits(at, q)-p.curve.Credits(now, q), 0)
	}
	for i, end := range edges[1:] {
		start := edges[i]
		points = append(points, ForecastPoint{
			Start: instant(start), End: instant(end),
			Credits: decimal(forecast.Total(ahead(end, forecast.Mean) - ahead(start, forecast.Mean))),
			P10:     decimal(forecast.Total(ahead(end, forecast.P10))),
			P50:     decimal(forecast.Total(ahead(end, forecast.P50))),
			P90:     decimal(forecast.Total(ahead(end, forecast.P90))),
		})
	}
	return points
}

// runway is when the balance reaches 0 as the projection has it.
func (p *projected) runway(entries []balance.Entry, segments []balance.Segment, state *balance.State) (Runway, error) {
	answer := Runway{Method: p.method}
	because := func(reason string) (Runway, error) {
		answer.Reason = &reason
		return answer, nil
	}
	if state.Remaining.Sign() <= 0 {
		return because("exhausted")
	}
	horizon := runwayHorizon(state.At)
	for _, c := range []struct {
		to *(*Instant)
		q  forecast.Quantile
	}{{&answer.ExhaustsAt, forecast.P50}, {&answer.P10, forecast.P90}, {&answer.P90, forecast.P10}} {
		future, err := balance.Foresee(entries, segments, state, p.curve.Along(c.q), horizon)
		if err != nil {
			return answer, err
		}
		if future.ExhaustedAt != schemas.NoInstant && future.ExhaustedAt < horizon {
			*c.to = instantOrNull(exhaustedMinute(future.ExhaustedAt))
		}
	}
	if answer.ExhaustsAt == nil {
		if last := len(p.curve.At) - 1; last < 0 || p.curve.Amounts[last].P50 == 0 {
			return because("no_consumption")
		}
		return because("beyond_5_years")
	}
	return answer, nil
}

// exhaustedMinute is when nothing is left, to the minute: nobody knows it
// better.
func exhaustedMinute(at schemas.Millis) schemas.Millis {
	return (at + minuteMillis/2) / minuteMillis * minuteMillis
}
