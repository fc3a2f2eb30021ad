package queryapi

import (
	"context"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// resolveUsage names the edges that usage does not have.
func (in *ExportInput) resolveUsage() (errs []error) {
	if in.Dataset != "usage" {
		return nil
	}
	width, message := in.finest()
	for _, edge := range []struct {
		name, text string
		at         schemas.Millis
	}{{"query.from", in.From, in.times.from}, {"query.to", in.To, in.times.to}} {
		if edge.at != schemas.NoInstant && edge.at%width != 0 {
			errs = append(errs, wrong(edge.name, edge.text, "%s", message))
		}
	}
	return errs
}

// finest is what the edges of a range of usage must be multiples of: every
// local hour and day is made of quarters.
func (in *ExportInput) finest() (schemas.Millis, string) {
	if in.Bucket == string(schemas.Minute) {
		return minuteMillis, "not a whole minute"
	}
	return quarterMillis, "not a whole quarter of an hour"
}

// usageCut is how an export of usage cuts its range.
type usageCut struct {
	table string
	width schemas.Millis // of the table's buckets
	// How its buckets make those of the file; none: they are the same.
	runs []bucketRun
}

// bucketRun is adjoining buckets of one width: as many local hours or days as
// no change of the clock parts. It says the edges of years in a few numbers.
type bucketRun struct{ from, width schemas.Millis }

// maxExportBuckets is eleven years of hours: more than anybody looks at hour by
// hour, and cut in a tenth of a second.
const maxExportBuckets = 100_000

// cutUsage chooses the coarsest rollup that is exact: of days in UTC the days,
// else the quarters that every local hour and day is made of.
func (in *ExportInput) cutUsage(asked span) (usageCut, error) {
	bucket := schemas.Bucket(in.Bucket)
	switch bucket {
	case schemas.Minute:
		return usageCut{table: "usage_1m", width: minuteMillis}, nil
	case schemas.QuarterHour:
		return usageCut{table: "usage_15m", width: quarterMillis}, nil
	}
	cut := cutting{bucket: bucket, zone: time.UTC}
	if in.zone != nil {
		cut.zone = in.zone
	}
	least := schemas.Millis(longest[bucket].Milliseconds())
	if (asked.to-asked.from)/least > maxExportBuckets {
		return usageCut{}, problem(CodeTooManyPoints, "more than %d buckets of %s; ask for a shorter range or a coarser bucket",
			maxExportBuckets, bucket).about("query.bucket", in.Bucket)
	}
	runs, err := cut.runs(asked)
	if err != nil {
		return usageCut{}, err
	}
	days := true
	for _, run := range runs {
		days = days && run.from%dayMillis == 0 && run.width == dayMillis
	}
	if days {
		return usageCut{table: "usage_1d", width: dayMillis}, nil
	}
	return usageCut{table: "usage_15m", width: quarterMillis, runs: runs}, nil
}

// runs cuts a range of any length into buckets and joins those that have one
// width.
func (c *cutting) runs(asked span) ([]bucketRun, error) {
	// Fewer of the shortest, even where clocks change, than MaxPoints.
	reach := schemas.Millis(longest[c.bucket].Milliseconds()) * schemas.MaxPoints / 4
	var runs []bucketRun
	for from := asked.from; from < asked.to; {
		to := min(from+reach, asked.to)
		edges, err := c.edgesOf(from, to)
		if err != nil {
			return nil, err
		}
		if to < asked.to {
			edges = edges[:len(edges)-1] // it is where we stopped, not an edge
		}
		for i := 1; i < len(edges); i++ {
			width := edges[i] - edges[i-1]
			if n := len(runs); n == 0 || runs[n-1].width != width {
				runs = append(runs, bucketRun{edges[i-1], width})
			}
		}
		from = edges[len(edges)-1]
	}
	return runs, nil
}

// countUsage returns how many rows a file has at most, from the rollup it is
// made of or, where that is much finer, from the days that it touches.
func (s *Server) countUsage(ctx context.Context, in *ExportInput, asked span, cut *usageCut) (int64, error) {
	table, share := cut.table, int64(1)
	if in.Bucket == string(schemas.Day) && len(cut.runs) > 0 {
		table, share = "usage_1d", 2 // a day of UTC lies in two local ones, or is cut by an edge
		asked = span{asked.from - asked.from%dayMillis, ceil(asked.to, dayMillis)}
	}
	bound := parameters{}
	boundRange(bound, in.WorkspaceID, asked)
	count := uint64(0)
	// More than there will be where parts are not merged yet.
	err := s.query(ctx, "export_count", "SELECT count() FROM "+table+usageRange, bound, func(scan func(...any) error) error {
		return scan(&count)
	})
	return int64(count) * share, err
}

const usageRange = `
WHERE workspace_id = {workspace:String} AND bucket >= toDateTime(intDiv({from:Int64}, 1000), 'UTC') AND bucket < toDateTime(intDiv({to:Int64}, 1000), 'UTC')`

// usageStatement reads rows that are buckets of the file as they are, in the
// order of the primary key, so that ClickHouse sorts and keeps nothing. Others
// are put into their buckets first: what an instant rounds down to among the
// starts of runs is the run it is in. Sums of micro-credits are 128 bits, as a
// decimal with six digits is: they are taken for one as they are, where a
// conversion would overflow on the way.
func usageStatement(cut *usageCut, text func(column string) string, bound parameters) string {
	source, begin, width := cut.table+" AS t"+usageRange, "t.bucket", "{width:UInt32}"
	grouped := "workspace_id, t.bucket, campaign_id, action"
	order := grouped
	if len(cut.runs) == 0 {
		bound.Integer("width", int64(cut.width/1000))
	} else {
		starts, widths := make([]schemas.Millis, len(cut.runs)), make([]schemas.Millis, len(cut.runs))
		for i, run := range cut.runs {
			starts[i], widths[i] = run.from/1000, run.width/1000
		}
		bound.Integers("starts", starts)
		bound.Integers("widths", widths)
		begin, width = "t.begin", "t.width"
		grouped, order = "workspace_id, t.begin, t.width, campaign_id, action", "workspace_id, t.begin, campaign_id, action"
		source = `(
    SELECT workspace_id, campaign_id, action, credits_micro, refunds_micro, events,
        toUnixTimestamp(bucket) AS at,
        roundDown(at, {starts:Array(UInt32)}) AS run,
        transform(run, {starts:Array(UInt32)}, {widths:Array(UInt32)}, toUInt32(0)) AS width,
        toDateTime(run + intDiv(at - run, width) * width, 'UTC') AS begin
    FROM ` + cut.table + usageRange + `
) AS t`
	}
	return `SELECT
    ` + begin + ` AS start,
    ` + begin + ` + toIntervalSecond(` + width + `) AS end,
    ` + text("campaign_id") + ` AS campaign,
    ` + text("action") + ` AS act,
    reinterpret(sum(credits_micro), 'Decimal(38, 6)') AS credits,
    reinterpret(sum(refunds_micro), 'Decimal(38, 6)') AS refunds,
    sum(t.events) AS events
FROM ` + source + `
GROUP BY ` + grouped + `
ORDER BY ` + order
}
