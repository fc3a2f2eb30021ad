package queryapi

import (
	"cmp"
	"context"
	"fmt"
	"math/big"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/drawdown/drawdown/schemas"
)

// The range in which events are accepted (DESIGN section 3); sums read
// nothing outside it.
const (
	timeBegin schemas.Millis = 946_684_800_000   // 2000-01-01T00:00:00Z
	timeEnd   schemas.Millis = 4_102_444_800_000 // 2100-01-01T00:00:00Z
)

// grouping is what sums are told apart by.
type grouping string

const (
	byNone     grouping = "none"
	byCampaign grouping = "campaign"
	byAction   grouping = "action"
)

// column is what a grouping groups by; "" for none.
func (g grouping) column() string {
	switch g {
	case byCampaign:
		return "campaign_id"
	case byAction:
		return "action"
	default:
		return ""
	}
}

// sumQuery asks for net, refunds and events of one workspace over the
// intervals between consecutive edges.
type sumQuery struct {
	name      string // label of the query in metrics
	workspace string
	edges     []schemas.Millis // ascending, distinct; n+1 edges make n intervals
	group     grouping
	keep      []string         // keys told apart, the others summed as one; nil: all
	apart     []schemas.Millis // where the intervals start whose keys are told apart, ascending; nil: all
	campaign  *string          // only this campaign; "": only unattributed
	action    *string          // only this action
}

// sumRow is a sum of one interval and key. Intervals without events have none.
type sumRow struct {
	interval int // between edges[interval] and edges[interval+1]
	key      string
	other    bool // all keys that are not told apart
	usage
}

// usage is what a bucket holds.
type usage struct {
	net     schemas.Total // may be negative
	refunds schemas.Total // positive
	events  int64
}

func (u usage) add(v usage) usage {
	return usage{net: u.net.Add(v.net), refunds: u.refunds.Add(v.refunds), events: u.events + v.events}
}

// gross is what was used before refunds.
func (u usage) gross() schemas.Total { return u.net.Add(u.refunds) }

// span is [from, to).
type span struct{ from, to schemas.Millis }

// sums is the one mechanism (invariant 1).
func (s *Server) sums(ctx context.Context, q sumQuery) ([]sumRow, error) {
	statement, bound := q.statement()
	if statement == "" {
		return nil, nil
	}
	var rows []sumRow
	err := s.query(ctx, q.name, statement, bound, func(scan func(...any) error) error {
		var (
			edge         int64
			other        uint8
			net, refunds big.Int
			row          sumRow
		)
		if err := scan(&edge, &row.key, &other, &net, &refunds, &row.events); err != nil {
			return err
		}
		var err error
		if row.net, err = schemas.TotalFromBig(&net); err != nil {
			return err
		}
		if row.refunds, err = schemas.TotalFromBig(&refunds); err != nil {
			return err
		}
		row.interval = intervalAt(q.edges, schemas.Millis(edge))
		row.other = other == 1
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// intervalAt returns the interval that at is in.
func intervalAt(edges []schemas.Millis, at schemas.Millis) int {
	return sort.Search(len(edges), func(i int) bool { return edges[i] > at }) - 1
}

// statement makes the SQL and its parameters: one leg per table, all summed by
// (edge, key). It is empty if there is nothing to read. Its text depends on q
// only through constants (invariant 5).
func (q *sumQuery) statement() (string, parameters) {
	bound := parameters{}
	bound.string("workspace", q.workspace)
	bound.integers("edges", q.edges)
	filter := ""
	if q.campaign != nil {
		filter += " AND campaign_id = {campaign:String}"
		bound.string("campaign", *q.campaign)
	}
	if q.action != nil {
		filter += " AND action = {action:String}"
		bound.string("action", *q.action)
	}
	columns, key, other, by := "", "''", "0", "edge"
	if column := q.group.column(); column != "" {
		columns, key, by = column+" AS k, ", "toString(k)", "edge, key, other"
	}
	switch {
	case q.keep != nil:
		other = "k NOT IN {keep:Array(String)}"
		key = "if(" + other + ", '', toString(k))"
		bound.strings("keep", q.keep)
	case q.apart != nil:
		other = "edge NOT IN {apart:Array(Int64)}"
		key = "if(" + other + ", '', toString(k))"
		bound.integers("apart", q.apart)
	}

	var legs []string
	runs := runsOf(q.edges, func(edge schemas.Millis) bool {
		if filter != "" {
			return false
		}
		_, apart := slices.BinarySearch(q.apart, edge)
		return q.group == byNone || (q.apart != nil && !apart)
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
func rollupLeg(table, columns string, runs []span, bound parameters) string {
	from, to := table+"_from", table+"_to"
	bound.integer(from, int64(runs[0].from/1000))
	bound.integer(to, int64(runs[len(runs)-1].to/1000))
	leg := fmt.Sprintf(`SELECT toInt64(toUnixTimestamp(bucket)) * 1000 AS at, %scredits_micro AS net, refunds_micro AS refunds, events AS count
FROM %s
WHERE workspace_id = {workspace:String} AND bucket >= {%s:UInt32} AND bucket < {%s:UInt32}`, columns, table, from, to)
	return leg + scattered(table, runs, bound)
}

// rawLeg reads parts of minutes of events.
func rawLeg(columns string, runs []span, bound parameters) string {
	bound.integer("events_from", int64(runs[0].from))
	bound.integer("events_to", int64(runs[len(runs)-1].to))
	return fmt.Sprintf(`SELECT toUnixTimestamp64Milli(time) AS at, %stoInt128(credits_micro) AS net, toInt128(if(credits_micro < 0, -credits_micro, 0)) AS refunds, toInt64(1) AS count
FROM events
WHERE workspace_id = {workspace:String} AND time >= fromUnixTimestamp64Milli({events_from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({events_to:Int64}, 'UTC')`, columns) +
		scattered("events", runs, bound)
}

// scattered is the condition that decides which of several runs a row is in,
// if any: what its time rounds down to among all boundaries is the start of a
// run if it is in one, else the end of the one before.
func scattered(table string, runs []span, bound parameters) string {
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
	bound.integers(starts, startsOf)
	bound.integers(boundaries, boundariesOf)
	condition := fmt.Sprintf("\n  AND roundDown(%s, {%s:Array(%s)}) IN {%s:Array(%s)}",
		clock.number, boundaries, clock.numberType, starts, clock.numberType)
	if clock.coarse != "" {
		bound.integers(coarsely, slices.Compact(coarseOf))
		condition += fmt.Sprintf("\n  AND toUnixTimestamp(%s(%s)) IN {%s:Array(UInt32)}", clock.coarse, clock.column, coarsely)
	}
	return condition
}

const dayMillis = 24 * 60 * 60 * 1000

// runsOf decomposes the intervals (invariant 2) and joins what adjoins, per
// table. Of those that total says yes to there are totals of the workspace, by
// quarters alone.
func runsOf(edges []schemas.Millis, total func(edge schemas.Millis) bool) map[string][]span {
	runs := make(map[string][]span)
	for i := 1; i < len(edges); i++ {
		from, to := max(edges[i-1], timeBegin), min(edges[i], timeEnd)
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

// parameters are the server-side parameters of a statement in ClickHouse's
// Escaped text, which the driver sends as they are.
type parameters map[string]string

func (p parameters) string(name, value string) { p[name] = textEscaper.Replace(value) }

func (p parameters) integer(name string, value int64) { p[name] = strconv.FormatInt(value, 10) }

func (p parameters) integers(name string, values []schemas.Millis) {
	text := make([]byte, 0, 16*len(values)+2)
	text = append(text, '[')
	for i, v := range values {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(v), 10)
	}
	p[name] = string(append(text, ']'))
}

// strings is an Array(String), whose elements are quoted literals.
func (p parameters) strings(name string, values []string) {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = "'" + quoteEscaper.Replace(v) + "'"
	}
	p[name] = "[" + strings.Join(quoted, ",") + "]"
}

// textEscaper is ClickHouse's Escaped text; a raw tab or line feed would end
// the value.
var textEscaper = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

// quoteEscaper is the inside of a quoted literal.
var quoteEscaper = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)
