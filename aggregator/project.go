package aggregator

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

// wholeWorkspace is the campaign_id of a workspace's own projection: no
// campaign can be called so.
const wholeWorkspace = "*"

// newCampaigns is the campaign_id of what campaigns that are not there yet are
// expected to use, so that the rest and it add up to the whole.
const newCampaigns = "+"

const (
	dayMillis = 24 * hourMillis
	// leastHorizon is how far a workspace is forecast at least; beyond it, use
	// goes on as in its last week.
	leastHorizon = 56 * dayMillis
	// mostHorizon bounds it: what is beyond a year is as good as its last week.
	mostHorizon = 366 * dayMillis
	// maxCurve bounds the points of a campaign's curve, and daysByHour is for
	// how long the workspace's has one per hour.
	maxCurve   = 64
	daysByHour = 7
	// wholeEvery is how often all hours are read again whatever came: repairs
	// put in what was counted long ago.
	wholeEvery = 6 * hourMillis
)

// projection is what a campaign, or a workspace, will have used by the end of
// its period.
type projection struct {
	campaignID string
	method     forecast.Method
	at         schemas.Millis
	used       schemas.Total // net; of a workspace in its period
	ahead      forecast.Amounts
	curve      forecast.Sampled
	quotaAt    schemas.Millis // NoInstant: never
}

// outlook is how a workspace goes on.
type outlook struct {
	method forecast.Method
	curve  forecast.Sampled
}

// project projects anew those workspaces of a partition that have changed, and
// each once an hour, because nothing having been used says something, too.
func (w *watch) project(ctx context.Context, p *part, watermark schemas.Millis) error {
	now := w.a.cfg.Now()
	if elapsed := now.Sub(p.projectedAt); elapsed >= 0 && elapsed < projectEvery {
		return nil
	}
	first := p.projectedAt.IsZero()
	p.projectedAt = now
	var due []string
	for _, id := range p.ids() {
		ws := p.workspaces[id]
		if ws.changed || watermark/hourMillis != ws.projectedAt/hourMillis {
			due = append(due, id)
		}
	}
	if len(due) == 0 {
		return nil
	}
	begin := time.Now()
	if first {
		w.a.log.InfoContext(ctx, "first projections begin: eight weeks are read", "partition", p.id, "workspaces", len(due))
	}
	err := w.projectAll(ctx, p, due, watermark)
	took := time.Since(begin)
	w.a.metrics.projectSeconds.Observe(took.Seconds())
	if first {
		w.a.log.InfoContext(ctx, "first projections end", "partition", p.id, "seconds", took.Seconds(), "complete", err == nil)
	}
	return err
}

// projectAll projects workspaces, those that are read together before others.
// Whatever fails stays as it was, and due.
func (w *watch) projectAll(ctx context.Context, p *part, due []string, watermark schemas.Millis) error {
	var failed []error
	var rows block
	splits := splits{left: maxSplits}
	for groups := p.groups(due); len(groups) > 0; groups = groups[1:] {
		group, invalid := w.periods(p, groups[0], watermark)
		failed = append(failed, invalid)
		err := w.readHours(ctx, p, group, watermark)
		if err == nil {
			err = w.readUsed(ctx, p, group)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			halves, err := splits.halve(p, group, err)
			groups = append(groups, halves...)
			failed = append(failed, err)
			continue
		}
		for _, id := range group {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			rows.add(p.workspaces[id], p.workspaces[id].project(watermark))
			if rows.count >= blockRows {
				failed = append(failed, w.writeProjections(ctx, &rows, watermark))
			}
		}
	}
	return errors.Join(append(failed, w.writeProjections(ctx, &rows, watermark))...)
}

// periods reckons the current periods of workspaces and returns those that have
// one: the ledger of another makes no sense.
func (w *watch) periods(p *part, ids []string, watermark schemas.Millis) (valid []string, err error) {
	var failed []error
	for _, id := range ids {
		ws := p.workspaces[id]
		if ws.period, err = currentPeriod(ws.entries, watermark); err != nil {
			failed = append(failed, fmt.Errorf("workspace %s: %w", id, err))
		} else {
			valid = append(valid, id)
		}
	}
	return valid, errors.Join(failed...)
}

// project projects a workspace and its campaigns at a watermark.
func (ws *workspace) project(watermark schemas.Millis) []*projection {
	period, life := ws.period, ws.life
	ws.total, ws.totalFrom = ws.series.total(watermark), ws.series.from
	ws.totalSince = slices.IndexFunc(ws.total, func(gross float64) bool { return gross > 0 })
	ids, parts := ws.parts(watermark, life)
	horizon := min(max(period.To, watermark+leastHorizon), watermark+mostHorizon)
	future := forecast.Workspace(parts, horizon)
	rows := make([]*projection, 0, len(ids)+1)
	for i, id := range ids {
		end := period.To
		var quota *schemas.Credits
		if state := ws.states[id]; state != nil {
			quota = state.quota
			if state.endsAt != schemas.NoInstant {
				end = state.endsAt
			}
		}
		rows = append(rows, projectionOf(id, &future.Parts[i], watermark, end, life[id], quota))
	}
	fresh := forecast.Forecast{Method: future.Total.Method, Curve: future.New}
	rows = append(rows, projectionOf(newCampaigns, &fresh, watermark, period.To, schemas.Total{}, nil))
	whole := projectionOf(wholeWorkspace, &future.Total, watermark, period.To, ws.inPeriod, nil)
	whole.curve = future.Total.Curve.Sample(instants(watermark, horizon, daysByHour*24, period.To))
	ws.outlook = &outlook{method: future.Total.Method, curve: whole.curve}
	ws.projections = make(map[string]*projection, len(rows))
	for _, row := range rows {
		ws.projections[row.campaignID] = row
	}
	return append(rows, whole)
}

// projectionOf looks at a forecast at the end of a period.
func projectionOf(id string, f *forecast.Forecast, watermark, end schemas.Millis, net schemas.Total, quota *schemas.Credits) *projection {
	p := &projection{campaignID: id, method: f.Method, at: end, used: net, ahead: f.Curve.At(end), quotaAt: schemas.NoInstant}
	p.curve = f.Curve.Sample(instants(watermark, max(end, watermark), 0, end))
	if quota != nil {
		left := quota.Total().Sub(net)
		if at, reached := f.Curve.Reaches(left.Float(), forecast.P50); reached && at <= end {
			p.quotaAt = at
		}
	}
	return p
}

// instants are those at which a curve is kept: its beginning, each of so many
// hours, then so far apart that they are not too many, and the end. One of them
// is also.
func instants(from, to schemas.Millis, hours int, also schemas.Millis) []schemas.Millis {
	at := []schemas.Millis{from}
	next := from - from%hourMillis
	for range hours {
		if next += hourMillis; next < to {
			at = append(at, next)
		}
	}
	step := dayMillis
	if hours == 0 {
		for step = hourMillis; (to-from)/step > maxCurve-4; step *= 2 {
		}
	}
	for next += step; next < to; next += step {
		at = append(at, next)
	}
	at = append(at, to)
	if also > from {
		at = append(at, also)
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// parts are the series of a workspace's campaigns: those that are active or have
// been in the last weeks, and what is unattributed.
func (ws *workspace) parts(watermark schemas.Millis, life map[string]schemas.Total) ([]string, []forecast.Series) {
	known := make(map[string]bool)
	for id := range ws.series.campaigns {
		known[id] = true
	}
	for id, state := range ws.states {
		if state.status == active || state.quota != nil {
			known[id] = true
		}
	}
	ids := make([]string, 0, len(known))
	for id := range known {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	parts := make([]forecast.Series, len(ids))
	for i, id := range ids {
		s := forecast.Series{At: watermark, Zone: ws.zone, Hours: ws.series.upTo(id, watermark)}
		if state := ws.states[id]; state != nil {
			s.Paused = state.paused()
			s.Since = ws.since(id, state, life)
			if state.endsAt != schemas.NoInstant {
				s.EndsAt = state.endsAt
			}
		}
		parts[i] = s
	}
	return ids, parts
}

// since is from when on a campaign could be used: its first state or start,
// unless it was used before; 0: not known.
func (ws *workspace) since(id string, state *campaignState, life map[string]schemas.Total) schemas.Millis {
	since := state.since
	if state.startsAt != schemas.NoInstant {
		since = state.startsAt
	}
	for i, gross := range ws.series.campaigns[id] {
		if gross > 0 {
			return min(since, ws.series.from+schemas.Millis(i)*hourMillis)
		}
	}
	if _, used := life[id]; used {
		return 0 // longer ago than anybody looks
	}
	return since
}

// currentPeriod is the balance's period, which no usage has a part in.
func currentPeriod(entries []balance.Entry, at schemas.Millis) (balance.Period, error) {
	at = at/minuteMillis*minuteMillis + 1
	segments, err := balance.Segments(entries, at)
	if err != nil {
		return balance.Period{}, err
	}
	state, err := balance.Burn(entries, segments, at)
	if err != nil {
		return balance.Period{}, err
	}
	return state.Period, nil
}

// writeTimeout is for an INSERT, which is not cancelled (invariant 3).
const writeTimeout = time.Minute

const insertProjections = `INSERT INTO campaign_projections (workspace_id, campaign_id, made_at, watermark, method, at,
	used_micro, mean_micro, p10_micro, p50_micro, p90_micro, quota_exhausts_at, curve_at, curve_mean, curve_p10, curve_p50, curve_p90)`

// blockRows is from how many rows on a block of projections is written: of
// campaigns, each with a curve of 64 points, that is 13 MB.
const blockRows = 5000

// block is what is written at once: all of a workspace, so that they are seen
// together.
type block struct {
	workspaces []*workspace
	rows       [][]*projection // of each
	count      int
}

func (b *block) add(ws *workspace, rows []*projection) {
	b.workspaces, b.rows, b.count = append(b.workspaces, ws), append(b.rows, rows), b.count+len(rows)
}

// writeProjections writes a block and empties it. If that fails, its workspaces
// are due as before.
func (w *watch) writeProjections(ctx context.Context, b *block, watermark schemas.Millis) error {
	if b.count == 0 {
		return nil
	}
	defer func() { *b = block{} }()
	if ctx.Err() != nil {
		return ctx.Err() // somebody else's by now
	}
	if err := w.insertProjections(ctx, b, watermark); err != nil {
		return fmt.Errorf("cannot write projections of %d workspaces: %w", len(b.workspaces), err)
	}
	for _, ws := range b.workspaces {
		ws.changed, ws.projectedAt = false, watermark
	}
	w.a.metrics.projected.Add(float64(b.count))
	return nil
}

func (w *watch) insertProjections(ctx context.Context, b *block, watermark schemas.Millis) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	batch, err := w.a.cfg.ClickHouse.PrepareBatch(ctx, insertProjections)
	if err != nil {
		return err
	}
	madeAt := w.a.cfg.Now().UTC()
	for i, ws := range b.workspaces {
		for _, p := range b.rows[i] {
			if err := batch.Append(append([]any{ws.id, p.campaignID, madeAt, timeOf(watermark)}, p.columns()...)...); err != nil {
				return errors.Join(err, batch.Abort())
			}
		}
	}
	return batch.Send()
}

// columns are the values from method on.
func (p *projection) columns() []any {
	micro := func(ahead float64) *big.Int { return p.used.Add(forecast.Total(ahead)).Big() }
	var quotaAt *time.Time
	if p.quotaAt != schemas.NoInstant {
		at := timeOf(p.quotaAt)
		quotaAt = &at
	}
	n := len(p.curve.At)
	at, mean, p10, p50, p90 := make([]time.Time, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for i, a := range p.curve.Amounts {
		at[i], mean[i], p10[i], p50[i], p90[i] = timeOf(p.curve.At[i]), a.Mean, a.P10, a.P50, a.P90
	}
	return []any{
		string(p.method), timeOf(p.at), p.used.Big(), micro(p.ahead.Mean), micro(p.ahead.P10), micro(p.ahead.P50), micro(p.ahead.P90),
		quotaAt, at, mean, p10, p50, p90,
	}
}
