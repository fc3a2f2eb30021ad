package aggregator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// rulesQuery reads the version that holds of each rule of some workspaces.
// Should there be two rows of one version, because a deduplication window is
// over, the first one stands.
const rulesQuery = "SELECT " + schemas.AlertRuleColumns + `
FROM alert_rules WHERE workspace_id IN {workspaces:Array(String)}
ORDER BY workspace_id, rule_id, version DESC, updated_at, updated_by
LIMIT 1 BY workspace_id, rule_id`

// rulesCountQuery says whether any rule was written.
const rulesCountQuery = `SELECT count() FROM alert_rules`

// readRules reads the rules of a partition's workspaces anew if any rule was
// written anywhere, and notes of which workspaces they changed.
func (w *watch) readRules(ctx context.Context, p *part, looked map[string]bool) error {
	var count uint64
	if err := w.a.query(ctx, "rules", rulesCountQuery, rollup.Parameters{}, func(scan func(...any) error) error { return scan(&count) }); err != nil {
		return err
	}
	for chunk := range slices.Chunk(p.ids(), readChunk) {
		ids := chunk
		if p.rulesKnown && count == p.rulesCount {
			ids = nil
			for _, id := range chunk {
				if p.workspaces[id].rules == nil {
					ids = append(ids, id)
				}
			}
		}
		if len(ids) == 0 {
			continue
		}
		if err := w.readRulesOf(ctx, p, ids, looked); err != nil {
			return err
		}
	}
	p.rulesKnown, p.rulesCount = true, count
	return nil
}

// readRulesOf reads the rules of workspaces.
func (w *watch) readRulesOf(ctx context.Context, p *part, ids []string, looked map[string]bool) error {
	rows := make(map[string][]schemas.AlertRule)
	bound := rollup.Parameters{}
	bound.Strings("workspaces", ids)
	err := w.a.query(ctx, "rules", rulesQuery, bound, func(scan func(...any) error) error {
		rule, err := schemas.ScanAlertRule(scan)
		if errors.Is(err, schemas.ErrUnreadableRule) {
			// One that a later version wrote stops no other.
			w.a.log.ErrorContext(ctx, "an alert rule is not evaluated", "error", err)
			return nil
		}
		rows[rule.WorkspaceID] = append(rows[rule.WorkspaceID], rule)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		ws, inForce := p.workspaces[id], schemas.RulesInForce(id, rows[id])
		if !slices.EqualFunc(ws.rules, inForce, func(a, b schemas.AlertRule) bool { return a.RuleID == b.RuleID && a.Version == b.Version }) {
			ws.rules, looked[id] = inForce, true
		}
	}
	return nil
}

// evaluate evaluates the rules of workspaces at the watermark and records what
// changed. One workspace's trouble is not another's: those of failed are to be
// looked at again, after err all.
func (w *watch) evaluate(ctx context.Context, p *part, ids []string, watermark schemas.Millis) (failed, err error) {
	var unread []string
	for _, id := range ids {
		if p.workspaces[id].book == nil {
			unread = append(unread, id)
		}
	}
	for chunk := range slices.Chunk(unread, readChunk) {
		if err := w.readBooks(ctx, p, chunk); err != nil {
			return nil, err
		}
	}
	for _, id := range ids {
		if ctx.Err() != nil {
			return failed, ctx.Err()
		}
		if err := w.evaluateOne(ctx, p, p.workspaces[id], watermark); err == nil {
			delete(p.again, id)
		} else {
			p.again[id] = true
			failed = errors.Join(failed, fmt.Errorf("workspace %s: %w", id, err))
		}
		w.a.metrics.evaluated.Inc()
	}
	return failed, nil
}

// ledgerReads bounds how often a ledger is read for one evaluation; who writes
// entries faster than that is looked at a second later.
const ledgerReads = 3

// evaluateOne evaluates the rules of a workspace. Its ledger is read before its
// usage, because it says between which instants to sum up; so a grant may be
// missing although what was used of it is not, and whatever is about to be
// told is told only if the ledger, read again after the usage, is the same. So
// are the rules: usage that came after a rule was changed is not its old
// revision's to tell of.
func (w *watch) evaluateOne(ctx context.Context, p *part, ws *workspace, watermark schemas.Millis) error {
	for range ledgerReads {
		figures, err := w.figures(ctx, ws, watermark)
		if err != nil {
			return err
		}
		book := maps.Clone(ws.book)
		if ws.recall {
			if err := w.recall(ctx, ws, book, figures); err != nil {
				return err
			}
		}
		transitions := book.Advance(ws.rules, figures)
		if len(transitions) > 0 {
			changed := make(map[string]bool)
			if err := w.readEntries(ctx, p, []string{ws.id}, changed); err != nil {
				return err
			}
			if err := w.readRulesOf(ctx, p, []string{ws.id}, changed); err != nil {
				return err
			}
			if len(changed) > 0 {
				continue
			}
		}
		// What rests on a projection is unknown until there is one.
		ws.book, ws.recall = book, ws.recall && !p.begun && ws.projectedAt == schemas.NoInstant
		return w.record(ctx, p, ws, transitions)
	}
	return errors.New("its ledger or its rules change while they are read")
}

// observe steps the rules that watch the watermark itself.
func (w *watch) observe(ctx context.Context, p *part, now schemas.Millis) error {
	var failed []error
	for _, id := range p.ids() {
		ws := p.workspaces[id]
		if ws.book == nil {
			continue
		}
		if err := w.record(ctx, p, ws, ws.book.Observe(ws.rules, p.watch, ws.name, now)); err != nil {
			failed = append(failed, fmt.Errorf("workspace %s: %w", id, err))
		}
	}
	return errors.Join(failed...)
}

// lifeEvery is how often what campaigns used over their lives is read: it is
// most of what a look at a workspace costs. A look that had to do with what was
// read before is followed by one that has not.
const lifeEvery = 5 * time.Second

// lifeDue says whether enough time has passed to read it again.
func (ws *workspace) lifeDue(now time.Time) bool {
	elapsed := now.Sub(ws.lifeAt)
	return ws.life == nil || elapsed < 0 || elapsed >= lifeEvery
}

// figures reads what rules look at of a workspace.
//
// The ledger is taken as of now: everything that was counted is in the usage, a
// little of it after the watermark, and what paid for that must be there, too.
func (w *watch) figures(ctx context.Context, ws *workspace, watermark schemas.Millis) (*alerts.Figures, error) {
	now := min(max(watermark, millisOf(w.a.cfg.Now())), watermark+alerts.StaleAfter)
	f, err := w.creditFigures(ctx, ws, &moment{at: watermark, entries: ws.entries, ledgerAt: now, until: rollup.End})
	if err != nil {
		return nil, err
	}
	ws.lifeOld = ws.hasQuotas() && !ws.lifeDue(w.a.cfg.Now())
	if ws.hasQuotas() && !ws.lifeOld {
		life, err := w.lifeUntil(ctx, ws.id, rollup.End)
		if err != nil {
			return nil, err
		}
		ws.life, ws.lifeAt = life, w.a.cfg.Now()
	}
	f.Campaigns = ws.campaignFigures(ws.life)
	return f, nil
}

// moment is what figures are of: a ledger as of an instant, and usage before
// another.
type moment struct {
	at       schemas.Millis // of the figures
	entries  []balance.Entry
	ledgerAt schemas.Millis
	until    schemas.Millis
}

// creditFigures reads all but those of campaigns.
func (w *watch) creditFigures(ctx context.Context, ws *workspace, m *moment) (*alerts.Figures, error) {
	segments, err := balance.Segments(m.entries, m.ledgerAt)
	if err != nil {
		return nil, err
	}
	windows := alerts.Windows(ws.rules)
	windowEnd := m.at - m.at%minuteMillis
	edges := []schemas.Millis{windowEnd, m.until}
	for _, window := range windows {
		edges = append(edges, windowEnd-schemas.Millis(window.Milliseconds()))
	}
	for _, segment := range segments {
		edges = append(edges, segment.From)
	}
	slices.Sort(edges)
	q := rollup.Query{Workspace: ws.id, Edges: slices.Compact(edges), Group: rollup.ByNone}
	sums := make([]used, len(q.Edges))
	if err := w.a.sums(ctx, "the balance", q, func(interval int, _ string, u used) { sums[interval] = u }); err != nil {
		return nil, err
	}
	gross := make(map[time.Duration]schemas.Total, len(windows))
	for i, u := range sums {
		from := q.Edges[i]
		for _, window := range windows {
			if from < windowEnd && from >= windowEnd-schemas.Millis(window.Milliseconds()) {
				gross[window] = gross[window].Add(u.gross())
			}
		}
		// The last segment that starts at or before the interval; beyond it
		// there is what was counted already.
		for at := len(segments) - 1; at >= 0; at-- {
			if segments[at].From <= from {
				segments[at].Net = segments[at].Net.Add(u.net)
				break
			}
		}
	}
	state, err := balance.Burn(m.entries, segments, m.ledgerAt)
	if err != nil {
		return nil, err
	}
	f := &alerts.Figures{At: m.at, Name: ws.name, Zone: ws.zone, Expected: ws.expected}
	f.SetBalance(state)
	f.Gross = func(window time.Duration) (schemas.Total, bool) {
		t, ok := gross[window]
		return t, ok || slices.Contains(windows, window)
	}
	return f, f.Foresee(state, ws.future())
}

// future is the median outlook of the last projection.
func (ws *workspace) future() alerts.Outlook {
	if ws.outlook == nil || ws.outlook.method == forecast.InsufficientData {
		return alerts.Outlook{}
	}
	return alerts.Outlook{Method: ws.outlook.method, Usage: ws.outlook.curve.Along(forecast.P50)}
}

// hasQuotas says whether any campaign has a quota: nothing else asks what they
// used over their lives.
func (ws *workspace) hasQuotas() bool {
	for _, state := range ws.states {
		if state.quota != nil {
			return true
		}
	}
	return false
}

// lifeUntil reads what each campaign used before an instant, net.
func (w *watch) lifeUntil(ctx context.Context, id string, until schemas.Millis) (map[string]schemas.Total, error) {
	life := make(map[string]schemas.Total)
	q := rollup.Query{Workspace: id, Group: rollup.ByCampaign, Edges: []schemas.Millis{rollup.Begin, until}}
	return life, w.a.sums(ctx, "what was used", q, func(_ int, key string, u used) { life[key] = life[key].Add(u.net) })
}

// campaignFigures are those of the campaigns that have a state, by what each
// used over its life.
func (ws *workspace) campaignFigures(life map[string]schemas.Total) []alerts.Campaign {
	campaigns := make([]alerts.Campaign, 0, len(ws.states))
	for _, id := range slices.Sorted(maps.Keys(ws.states)) {
		state := ws.states[id]
		c := alerts.Campaign{ID: id, Name: state.name, Status: state.status, Used: life[id]}
		if state.quota != nil {
			c.Quota, c.HasQuota = *state.quota, true
		}
		if p := ws.projections[id]; p != nil && p.method != forecast.InsufficientData {
			c.Projected, c.ProjectedAt, c.Method = p.used.Float()+p.ahead.P50, p.at, p.method
		}
		campaigns = append(campaigns, c)
	}
	return campaigns
}

// leastWeeks is how many weeks must be known for what an hour of the week is
// wont to use.
const leastWeeks = 2

// expected is what is wont to be used in a range, by the hour of the week: the
// median of the same hours of the weeks before, so that no burst, outage or
// pause of one of them moves it.
func (ws *workspace) expected(from, to schemas.Millis) (float64, bool) {
	if ws.total == nil {
		return 0, false
	}
	sum := 0.0
	for hour := from - from%hourMillis; hour < to; hour += hourMillis {
		var weeks []float64
		for at := (hour-ws.totalFrom)/hourMillis - 168; at >= 0; at -= 168 {
			if int(at) < len(ws.total) && int(at) >= ws.totalSince {
				weeks = append(weeks, ws.total[at])
			}
		}
		if len(weeks) < leastWeeks {
			return 0, false
		}
		slices.Sort(weeks)
		middle := weeks[len(weeks)/2]
		if len(weeks)%2 == 0 {
			middle = (middle + weeks[len(weeks)/2-1]) / 2
		}
		share := float64(min(to, hour+hourMillis)-max(from, hour)) / float64(hourMillis)
		sum += middle * share
	}
	return sum, true
}
