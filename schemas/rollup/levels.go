package rollup

import (
	"strings"
	"time"
)

// Level is a rollup and what it must agree with: the first with raw events,
// the others with the rollup that they are made from.
type Level struct {
	Table  string
	Bucket time.Duration // width of its rows
	Total  bool          // of the workspace: no campaign, no action

	source string // table
	start  string // SQL: start of the bucket of a row of the source
}

// Levels are the rollups in the order in which they are mended: a row that is
// put into one goes on, by the views, into those that follow.
var Levels = []Level{
	{Table: "usage_1m", Bucket: time.Minute, source: "events", start: "toStartOfMinute(toDateTime(s.time, 'UTC'))"},
	{Table: "usage_15m", Bucket: 15 * time.Minute, source: "usage_1m", start: "toStartOfFifteenMinutes(s.bucket)"},
	{Table: "usage_15m_total", Bucket: 15 * time.Minute, Total: true, source: "usage_15m", start: "s.bucket"},
	{Table: "usage_1d", Bucket: 24 * time.Hour, source: "usage_15m", start: "toDateTime(toStartOfDay(s.bucket, 'UTC'), 'UTC')"},
}

// Raw says that its source is the table of raw events.
func (l *Level) Raw() bool { return l.source == "events" }

// AnewIn is the level as another table, which is made from the same source.
func (l Level) AnewIn(table string) Level {
	l.Table = table
	return l
}

// CopiedTo is another table that must agree with the level's own, row by row.
func (l Level) CopiedTo(table string) Level {
	return Level{Table: table, Bucket: l.Bucket, Total: l.Total, source: l.Table, start: "s.bucket"}
}

// SourceRows is SQL for how many rows its source has in [from, to), which are the
// parameters from and to in milliseconds: workspace_id, the UTC day, and n.
// condition restricts the rows.
func (l *Level) SourceRows(condition string) string {
	at := "s.bucket"
	if l.Raw() {
		at = "s.time"
	}
	return "SELECT s.workspace_id AS workspace_id, toStartOfDay(" + at + ", 'UTC') AS day, count() AS n FROM " + l.source + " AS s" +
		" WHERE " + l.inTime() + " AND " + condition + " GROUP BY workspace_id, day ORDER BY workspace_id, day"
}

// inTime is SQL that restricts the rows of the source to [from, to).
func (l *Level) inTime() string {
	if l.Raw() {
		return "s.time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND s.time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')"
	}
	return bucketInTime
}

const bucketInTime = "s.bucket >= toDateTime(intDiv({from:Int64}, 1000), 'UTC') AND s.bucket < toDateTime(intDiv({to:Int64}, 1000), 'UTC')"

// Compared is SQL for both sides in buckets that start in [from, to), which are
// the parameters from and to in milliseconds and whole buckets: rows of
// workspace_id, bucket, campaign_id, action and the right c (net micro-credits),
// r (refunds), n (events), and what the rollup has as cf, rf, nf. condition
// restricts both; in it {bucket} is the bucket of a row.
func (l *Level) Compared(condition string) string {
	keys, source := "s.campaign_id AS campaign_id, s.action AS action", "s.credits_micro AS c, s.refunds_micro AS r, s.events AS n"
	if l.Total {
		keys = "'' AS campaign_id, '' AS action"
	}
	if l.Raw() {
		source = "toInt128(s.credits_micro) AS c, toInt128(if(s.credits_micro < 0, -s.credits_micro, 0)) AS r, toInt64(1) AS n"
	}
	return "SELECT s.workspace_id AS workspace_id, " + l.start + " AS start, " + keys + ", " + source + ", toInt128(0) AS cf, toInt128(0) AS rf, toInt64(0) AS nf" +
		"\nFROM " + l.source + " AS s WHERE " + l.inTime() + " AND " + strings.ReplaceAll(condition, "{bucket}", l.start) +
		"\nUNION ALL SELECT s.workspace_id, s.bucket, " + keys + ", toInt128(0), toInt128(0), toInt64(0), s.credits_micro, s.refunds_micro, s.events" +
		"\nFROM " + l.Table + " AS s WHERE " + bucketInTime + " AND " + strings.ReplaceAll(condition, "{bucket}", "s.bucket")
}
