package queryapi

import (
	"context"
	"slices"
	"strings"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// The types of rows.
const (
	typeGrant       = "grant"
	typeAdjustment  = "adjustment"
	typeVoid        = "void"
	typeExpiry      = "expiry"
	typeConsumption = "consumption"
)

// stepTypes names what the ledger does.
var stepTypes = map[balance.StepKind]string{
	balance.TakesEffect: typeGrant,
	balance.Adjusts:     typeAdjustment,
	balance.Voids:       typeVoid,
	balance.Expires:     typeExpiry,
	balance.Uses:        typeConsumption,
}

// historyRow is a row in numbers; one of step, event and campaign is what it is.
type historyRow struct {
	place
	after schemas.Total // the balance
	step  *balance.Step
	event *rawEvent
	// What campaign used in an interval.
	campaign string
	in       span
	usage
	// The one grant, or overdraft, that paid for all usage around it.
	payer *string
}

// historyRows returns the rows before ask.before, newest first: as many as are
// wanted, or all there are.
func (s *Server) historyRows(ctx context.Context, ask historyAsk) ([]historyRow, error) {
	at := ledgerNow(ask.now)
	cuts, err := balance.Cuts(ask.entries, at)
	if err != nil {
		return nil, err
	}
	// Days may have less rows than they seem to have, and rows may have been
	// on the page before: then one looks further back.
	for want := ask.limit; ; want *= 4 {
		plan, err := s.planUsage(ctx, &ask, cuts, want)
		if err != nil {
			return nil, err
		}
		line, err := s.timeline(ctx, &ask, &plan, at)
		if err != nil {
			return nil, err
		}
		rows := line.rows(&ask, &plan)
		if len(rows) < ask.limit && !plan.whole {
			continue
		}
		slices.Reverse(rows)
		return rows[:min(len(rows), ask.limit)], nil
	}
}

// timeline is the whole past of a workspace, told apart where a page needs it.
type timeline struct {
	edges     []schemas.Millis
	intervals []interval // between edges
	steps     []balance.Step
	upTo      map[schemas.Millis][]oneEvent // events at an edge, oldest first
}

// interval is what was used between two edges.
type interval struct {
	usage
	apart []sumRow // by campaign, in order
}

// oneEvent is an event of the page and what its millisecond used up to it.
type oneEvent struct {
	*rawEvent
	upTo schemas.Total
}

// timeline reads, in one statement (invariant 3), usage between the instants
// of the ledger, of the intervals and of the events, and burns it down.
func (s *Server) timeline(ctx context.Context, ask *historyAsk, plan *usagePlan, at schemas.Millis) (*timeline, error) {
	segments, err := balance.Segments(ask.entries, at)
	if err != nil {
		return nil, err
	}
	query := rollup.Query{Workspace: ask.workspace, Edges: []schemas.Millis{timeEnd}, Group: rollup.ByNone}
	for _, segment := range segments {
		query.Edges = append(query.Edges, segment.From)
	}
	for _, in := range plan.intervals {
		query.Group = rollup.ByCampaign
		query.Apart = append(query.Apart, in.from)
		query.Edges = append(query.Edges, in.from, in.to)
	}
	for _, e := range plan.events {
		query.Edges = append(query.Edges, e.at, e.at+1)
	}
	slices.Sort(query.Edges)
	query.Edges = slices.Compact(query.Edges)
	rows, err := s.sums(ctx, "history", query)
	if err != nil {
		return nil, err
	}
	line := &timeline{edges: query.Edges, intervals: make([]interval, len(query.Edges)-1)}
	for _, row := range rows {
		in := &line.intervals[row.interval]
		in.usage = in.add(row.usage)
		if query.Apart != nil && !row.other {
			in.apart = append(in.apart, row)
		}
	}
	for i, segment := 0, -1; i < len(line.intervals); i++ {
		line.sort(i)
		if segment+1 < len(segments) && segments[segment+1].From == line.edges[i] {
			segment++
		}
		segments[segment].Net = segments[segment].Net.Add(line.intervals[i].net)
	}
	if line.steps, err = balance.Steps(ask.entries, segments, at); err != nil {
		return nil, err
	}
	return line, s.placeEvents(ctx, ask, plan, line)
}

func (line *timeline) sort(i int) {
	slices.SortFunc(line.intervals[i].apart, func(a, b sumRow) int { return strings.Compare(a.key, b.key) })
}

// placeEvents puts the events of a page on the line.
func (s *Server) placeEvents(ctx context.Context, ask *historyAsk, plan *usagePlan, line *timeline) error {
	perMilli := make(map[schemas.Millis]int64)
	for _, e := range plan.events {
		i, _ := slices.BinarySearch(line.edges, e.at)
		perMilli[e.at] = line.intervals[i].events
	}
	upTo, err := s.usedUpTo(ctx, ask, plan.events, perMilli)
	if err != nil {
		return err
	}
	line.upTo = make(map[schemas.Millis][]oneEvent)
	for i := len(plan.events) - 1; i >= 0; i-- {
		e := &plan.events[i]
		line.upTo[e.at] = append(line.upTo[e.at], oneEvent{e, upTo[i]})
	}
	return nil
}

// rows walks along the line and returns what is asked for, oldest first.
func (line *timeline) rows(ask *historyAsk, plan *usagePlan) []historyRow {
	var rows []historyRow
	show := func(row historyRow) {
		known := plan.whole || row.compare(plan.floor) >= 0
		left := ask.before == nil || row.compare(*ask.before) < 0
		if known && left && row.At >= ask.asked.from && row.At < ask.asked.to {
			rows = append(rows, row)
		}
	}
	steps, usage := line.steps, ask.shows(typeConsumption)
	var balanceNow schemas.Total
	var payer *string
	for i, in := range line.intervals {
		edge := line.edges[i]
		for ; len(steps) > 0 && steps[0].At <= edge; steps = steps[1:] {
			step := &steps[0]
			if step.Kind == balance.Uses {
				payer = onlyPayer(step)
				continue
			}
			balanceNow = balanceNow.Add(step.Change)
			// That nothing was left to expire nobody has said.
			if ask.shows(stepTypes[step.Kind]) && (step.Kind != balance.Expires || step.Change.Sign() != 0) {
				show(historyRow{place: stepPlace(step), after: balanceNow, step: step})
			}
		}
		after := balanceNow
		for _, row := range in.apart {
			after = after.Sub(row.net)
			if usage && (ask.campaign == nil || *ask.campaign == row.key) {
				show(historyRow{
					place: usagePlace(edge, row.key), after: after, campaign: row.key,
					in: span{edge, line.edges[i+1]}, usage: row.usage, payer: payer,
				})
			}
		}
		for _, e := range line.upTo[edge] {
			show(historyRow{place: usagePlace(edge, e.id), after: balanceNow.Sub(e.upTo), event: e.rawEvent, payer: payer})
		}
		balanceNow = balanceNow.Sub(in.net)
	}
	return rows
}

// onlyPayer returns the grant that all movements of a segment are of, the
// empty string for the overdraft, or nil if there are several or none.
func onlyPayer(step *balance.Step) *string {
	for i := range step.Movements {
		if step.Movements[i].GrantID != step.Movements[0].GrantID {
			return nil
		}
	}
	if len(step.Movements) == 0 {
		return nil
	}
	return &step.Movements[0].GrantID
}
