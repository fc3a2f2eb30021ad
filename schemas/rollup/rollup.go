// Package rollup asks the rollups for sums: it makes the one statement by which
// every sum of usage is read, whoever asks. It does no I/O.
package rollup

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/drawdown/drawdown/schemas"
)

// The range in which events are accepted (DESIGN section 3); sums read
// nothing outside it.
const (
	Begin schemas.Millis = 946_684_800_000   // 2000-01-01T00:00:00Z
	End   schemas.Millis = 4_102_444_800_000 // 2100-01-01T00:00:00Z
)

const minuteMillis = 60_000

// Grouping is what sums are told apart by.
type Grouping string

// The groupings.
const (
	ByNone     Grouping = "none"
	ByCampaign Grouping = "campaign"
	ByAction   Grouping = "action"
)

// column is what a grouping groups by; "" for none.
func (g Grouping) column() string {
	switch g {
	case ByCampaign:
		return "campaign_id"
	case ByAction:
		return "action"
	default:
		return ""
	}
}

// Query asks for net, refunds and events of one workspace over the intervals
// between consecutive edges.
type Query struct {
	Workspace string
	Edges     []schemas.Millis // ascending, distinct; n+1 edges make n intervals
	Group     Grouping
	Keep      []string         // keys told apart, the others summed as one; nil: all
	Apart     []schemas.Millis // where the intervals start whose keys are told apart, ascending; nil: all
	Campaign  *string          // only this campaign; "": only unattributed
	Action    *string          // only this action
}

// Interval returns the interval that an instant is in, which is one of the
// edges in a row of the statement.
func (q *Query) Interval(at schemas.Millis) int {
	return sort.Search(len(q.Edges), func(i int) bool { return q.Edges[i] > at }) - 1
}

// span is [from, to).
type span struct{ from, to schemas.Millis }

// Statement makes the SQL and its parameters: one leg per table, all summed by
// (edge, key). It is empty if there is nothing to read. Its text depends on q
// only through constants. A row is: edge before it (Int64, milliseconds), key,
// whether it is all keys that are not told apart (UInt8), net and refunds
// (Int128, micro-credits), events (Int64).
func (q *Query) Statement() (string, Parameters) {
	bound := Parameters{}
	bound.String("workspace", q.Workspace)
	bound.Integers("edges", q.Edges)
	filter := ""
	if q.Campaign != nil {
		filter += " AND campaign_id = {campaign:String}"
		bound.String("campaign", *q.Campaign)
	}
	if q.Action != nil {
		filter += " AND action = {action:String}"
		bound.String("action", *q.Action)
	}
	columns, key, other, by := "", "''", "0", "edge"
	if column := q.Group.column(); column != "" {
		columns, key, by = column+" AS k, ", "toString(k)", "edge, key, other"
	}
	switch {
	case q.Keep != nil:
		other = "k NOT IN {keep:Array(String)}"
		key = "if(" + other + ", '', toString(k))"
		bound.Strings("keep", q.Keep)
	case q.Apart != nil:
		other = "edge NOT IN {apart:Array(Int64)}"
		key = "if(" + other + ", '', toString(k))"
		bound.Integers("apart", q.Apart)
	}

	var legs []string
	runs := runsOf(q.Edges, func(edge schemas.Millis) bool {
		if filter != "" {
			return false
		}
		_, apart := slices.BinarySearch(q.Apart, edge)
		return q.Group == ByNone || (q.Apart != nil && !apart)
	})
	for _, table := range []string{"usage_1d", "usage_15m", "usage_1m"} {
		if len(runs[table]) > 0 {
			legs = append(legs, rollupLeg(table, columns, runs[table], bound)+filter)
		}
	}
	if len(runs["usage_15m_total"]) > 0 {
		noKey := ""
		if columns != "" {
			noKey = "'' AS k, "
		}
		legs = append(legs, rollupLeg("usage_15m_total", noKey, runs["usage_15m_total"], bound))
	}
	if len(runs["events"]) > 0 {
		legs = append(legs, rawLeg(columns, runs["events"], bound)+filter)
	}
	if len(legs) == 0 {
		return "", nil
	}
	return fmt.Sprintf(`SELECT roundDown(at, {edges:Array(Int64)}) AS edge, %s AS key, toUInt8(%s) AS other,
    sum(net) AS net, sum(refunds) AS refunds, sum(count) AS events
FROM (
%s
)
GROUP BY %s`, key, other, strings.Join(legs, "\nUNION ALL\n"), by), bound
}

// clocks say what the time of a row is in each table: a number of units of so
// many milliseconds, in a column of the primary key. What narrows a scattered
// read by that key is an ordered function of the column that puts what one run
// of the table lasts at the most into few values of a width. Gaps between days
// are not worth a second condition.
var clocks = map[string]struct {
	column, number, numberType string
	unit                       schemas.Millis
	coarse                     string
	width                      schemas.Millis
}{
	"usage_1d": {"bucket", "toUnixTimestamp(bucket)", "UInt32", 1000, "", 0},
	// Small enough to be read whole.
	"usage_15m_total": {"bucket", "toUnixTimestamp(bucket)", "UInt32", 1000, "", 0},
	"usage_15m":       {"bucket", "toUnixTimestamp(bucket)", "UInt32", 1000, "toStartOfHour", 60 * minuteMillis},
	"usage_1m":        {"bucket", "toUnixTimestamp(bucket)", "UInt32", 1000, "toStartOfFifteenMinutes", 15 * minuteMillis},
	"events":          {"time", "toUnixTimestamp64Milli(time)", "Int64", 1, "toStartOfMinute", minuteMillis},
}

// rollupLeg reads the runs of one rollup. The primary key narrows by the whole
// range and, where that has gaps, by what narrows a scattered read.
func rollupLeg(table, columns string, runs []span, bound Parameters) string {
	from, to := table+"_from", table+"_to"
	bound.Integer(from, int64(runs[0].from/1000))
	bound.Integer(to, int64(runs[len(runs)-1].to/1000))
	leg := fmt.Sprintf(`SELECT toInt64(toUnixTimestamp(bucket)) * 1000 AS at, %scredits_micro AS net, refunds_micro AS refunds, events AS count
FROM %s
WHERE workspace_id = {workspace:String} AND bucket >= {%s:UInt32} AND bucket < {%s:UInt32}`, columns, table, from, to)
	return leg + scattered(table, runs, bound)
}

// rawLeg reads parts of minutes of events.
func rawLeg(columns string, runs []span, bound Parameters) string {
	bound.Integer("events_from", int64(runs[0].from))
	bound.Integer("events_to", int64(runs[len(runs)-1].to))
	return fmt.Sprintf(`SELECT toUnixTimestamp64Milli(time) AS at, %stoInt128(credits_micro) AS net, toInt128(if(credits_micro < 0, -credits_micro, 0)) AS refunds, toInt64(1) AS count
FROM events
WHERE workspace_id = {workspace:String} AND time >= fromUnixTimestamp64Milli({events_from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({events_to:Int64}, 'UTC')`, columns) +
		scattered("events", runs, bound)
}

// scattered is the condition that decides which of several runs a row is in,
// if any: what its time rounds down to among all boundaries is the start of a
// run if it is in one, else the end of the one before.
func scattered(table string, runs []span, bound Parameters) string {
	if len(runs) == 1 {
		return ""
	}
	clock := clocks[table]
	starts, boundaries, coarsely := table+"_starts", table+"_boundaries", table+"_coarse"
	var startsOf, boundariesOf, coarseOf []schemas.Millis
	for _, run := range runs {
		startsOf = append(startsOf, run.from/clock.unit)
		boundariesOf = append(boundariesOf, run.from/clock.unit, run.to/clock.unit)
		for at := run.from; clock.coarse != "" && at < run.to; at = at - at%clock.width + clock.width {
			coarseOf = append(coarseOf, (at-at%clock.width)/1000)
		}
	}
	bound.Integers(starts, startsOf)
	bound.Integers(boundaries, boundariesOf)
	condition := fmt.Sprintf("\n  AND roundDown(%s, {%s:Array(%s)}) IN {%s:Array(%s)}",
		clock.number, boundaries, clock.numberType, starts, clock.numberType)
	if clock.coarse != "" {
		bound.Integers(coarsely, slices.Compact(coarseOf))
		condition += fmt.Sprintf("\n  AND toUnixTimestamp(%s(%s)) IN {%s:Array(UInt32)}", clock.coarse, clock.column, coarsely)
	}
	return condition
}

// runsOf decomposes the intervals and joins what adjoins, per
// table. Of those that total says yes to there are totals of the workspace, by
// quarters alone.
func runsOf(edges []schemas.Millis, total func(edge schemas.Millis) bool) map[string][]span {
	runs := make(map[string][]span)
	for i := 1; i < len(edges); i++ {
		from, to := max(edges[i-1], Begin), min(edges[i], End)
		if from >= to {
			continue
		}
		whole := total(edges[i-1])
		for _, piece := range schemas.Pieces(from, to) {
			table := piece.Table
			if whole && (table == "usage_1d" || table == "usage_15m") {
				table = "usage_15m_total"
			}
			runs[table] = append(runs[table], span{piece.From, piece.To})
		}
	}
	for table, spans := range runs {
		runs[table] = joined(spans)
	}
	return runs
}

// joined sorts spans and joins what adjoins.
func joined(spans []span) []span {
	if len(spans) == 0 {
		return nil
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	out := spans[:1]
	for _, next := range spans[1:] {
		if last := &out[len(out)-1]; last.to == next.from {
			last.to = next.to
		} else {
			out = append(out, next)
		}
	}
	return out
}
