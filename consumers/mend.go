package consumers

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/big"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/drawdown/drawdown/schemas"
)

// level is one rollup and what it is compared with: 1m with the raw events,
// the others with the one they come from, which has been mended before. A
// mended row cascades through the views, so each level is read after that.
type level struct {
	table  string
	bucket time.Duration
	source string // SELECT of the right rows of the touched buckets
	total  bool   // of the workspace: no campaign, no action
}

// keys are what its rows are told apart by beside workspace and bucket.
func (l *level) keys() string {
	if l.total {
		return "'' AS campaign_id, '' AS action"
	}
	return "campaign_id, action"
}

const touchedBuckets = `(workspace_id, bucket) IN (SELECT workspace_id, bucket FROM touched)`

var levels = []level{
	{"usage_1m", time.Minute, `SELECT workspace_id, toStartOfMinute(toDateTime(time, 'UTC')) AS bucket, campaign_id, action,
		toInt128(credits_micro) AS c, toInt128(if(credits_micro < 0, -credits_micro, 0)) AS r, toInt64(1) AS n
		FROM events WHERE workspace_id IN (SELECT workspace_id FROM touched)
		AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
		AND ` + touchedBuckets, false},
	{"usage_15m", 15 * time.Minute, `SELECT workspace_id, toStartOfFifteenMinutes(u.bucket) AS bucket, campaign_id, action,
		credits_micro AS c, refunds_micro AS r, events AS n
		FROM usage_1m AS u WHERE workspace_id IN (SELECT workspace_id FROM touched)
		AND u.bucket >= toDateTime({from:Int64} / 1000, 'UTC') AND u.bucket < toDateTime({to:Int64} / 1000, 'UTC')
		AND (workspace_id, toStartOfFifteenMinutes(u.bucket)) IN (SELECT workspace_id, bucket FROM touched)`, false},
	{"usage_15m_total", 15 * time.Minute, `SELECT workspace_id, bucket, '' AS campaign_id, '' AS action,
		credits_micro AS c, refunds_micro AS r, events AS n
		FROM usage_15m WHERE workspace_id IN (SELECT workspace_id FROM touched)
		AND bucket >= toDateTime({from:Int64} / 1000, 'UTC') AND bucket < toDateTime({to:Int64} / 1000, 'UTC')
		AND ` + touchedBuckets, true},
	{"usage_1d", 24 * time.Hour, `SELECT workspace_id, toDateTime(toStartOfDay(u.bucket, 'UTC'), 'UTC') AS bucket, campaign_id, action,
		credits_micro AS c, refunds_micro AS r, events AS n
		FROM usage_15m AS u WHERE workspace_id IN (SELECT workspace_id FROM touched)
		AND u.bucket >= toDateTime({from:Int64} / 1000, 'UTC') AND u.bucket < toDateTime({to:Int64} / 1000, 'UTC')
		AND (workspace_id, toDateTime(toStartOfDay(u.bucket, 'UTC'), 'UTC')) IN (SELECT workspace_id, bucket FROM touched)`, false},
}

// difference is what a rollup lacks (negative: has too much) for one key.
type difference struct {
	workspace, campaign, action string
	bucket                      int64 // seconds
	micro, refunds              schemas.Total
	events                      int64
}

// mend compares each rollup with its source for the (workspace, bucket) pairs
// that a batch touches, and inserts the differences as signed rows. It is
// exact because a workspace has one partition and its owner is here: nobody
// else adds to these buckets meanwhile.
func (p *partition) mend(ctx context.Context, b *batch) error {
	if b.tables[0].len() == 0 {
		return nil
	}
	for _, l := range levels {
		for attempt := 1; ; attempt++ {
			diffs, err := p.differences(ctx, b, l)
			if err != nil {
				return err
			}
			if len(diffs) == 0 {
				break
			}
			if attempt > repairAttempts {
				return park("rollup_mismatch", "%s still differs from its source in %d keys after %d repairs of %s offsets %s", l.table, len(diffs), repairAttempts, p, b.span)
			}
			p.c.log.Warn("a rollup differs from its source and is mended", "table", l.table, "partition", p.String(), "offsets", b.String(), "keys", len(diffs))
			p.c.metrics.repairs.WithLabelValues(l.table).Add(float64(len(diffs)))
			in, hash := rollupInput(diffs, l.total)
			token := fmt.Sprintf("%s/mend-%d-%016x", p.token(b.span, l.table), attempt, hash)
			if _, err := p.insert(ctx, l.table, token, in); err != nil {
				return err
			}
		}
	}
	// When campaigns were used last is not compared: the latest holds, so saying
	// it again does no harm.
	_, err := p.insert(ctx, "campaign_activity", p.token(b.span, "campaign_activity"), activityInput(b.tables[0]))
	return err
}

// activityInput is when each campaign of the rows was used last.
func activityInput(t *rows) proto.Input {
	type pair struct{ workspace, campaign string }
	latest := make(map[pair]int64)
	for i, at := range t.time.ColInt64 {
		key := pair{string(t.workspace.row(i)), string(t.campaign.row(i))}
		if known, ok := latest[key]; !ok || at > known {
			latest[key] = at
		}
	}
	var workspace, campaign stringColumn
	var last timeColumn
	for key, at := range latest {
		workspace.append([]byte(key.workspace))
		campaign.append([]byte(key.campaign))
		last.Append(at)
	}
	return proto.Input{
		{Name: "workspace_id", Data: &workspace}, {Name: "campaign_id", Data: &campaign}, {Name: "last_event_at", Data: &last},
	}
}

// differences returns source minus rollup for the touched buckets, non-zero
// keys only, in order of their key.
func (p *partition) differences(ctx context.Context, b *batch, l level) ([]difference, error) {
	touched, from, to, err := touchedBy(b.tables[0], l.bucket)
	if err != nil {
		return nil, err
	}
	query := `SELECT workspace_id, bucket, campaign_id, action, sum(c) AS dc, sum(r) AS dr, sum(n) AS dn FROM (` + l.source + `
		UNION ALL SELECT workspace_id, bucket, ` + l.keys() + `, -credits_micro, -refunds_micro, -events
		FROM ` + l.table + ` WHERE workspace_id IN (SELECT workspace_id FROM touched) AND ` + touchedBuckets + `)
		GROUP BY workspace_id, bucket, campaign_id, action HAVING dc != 0 OR dr != 0 OR dn != 0
		ORDER BY workspace_id, bucket, campaign_id, action`
	params := clickhouse.Parameters{"from": fmt.Sprint(from), "to": fmt.Sprint(to)}
	// By key, because the rows of a broken attempt are seen again.
	var out []difference
	at := make(map[difference]int)
	err = p.read(ctx, query, params, func(rows driver.Rows) error {
		var d difference
		var bucket time.Time
		var micro, refunds big.Int
		if err := rows.Scan(&d.workspace, &bucket, &d.campaign, &d.action, &micro, &refunds, &d.events); err != nil {
			return err
		}
		d.bucket = bucket.Unix()
		var err error
		if d.micro, err = schemas.TotalFromBig(&micro); err != nil {
			return err
		}
		if d.refunds, err = schemas.TotalFromBig(&refunds); err != nil {
			return err
		}
		key := difference{workspace: d.workspace, campaign: d.campaign, action: d.action, bucket: d.bucket}
		if i, again := at[key]; again {
			out[i] = d
			return nil
		}
		at[key] = len(out)
		out = append(out, d)
		return nil
	}, clickhouse.WithExternalTable(touched))
	if err != nil {
		return nil, err
	}
	return out, nil
}

// touchedBy returns the distinct (workspace, bucket) pairs of rows as an
// external table, and the time they span in milliseconds.
func touchedBy(t *rows, bucket time.Duration) (table *ext.Table, from, to int64, err error) {
	type pair struct {
		workspace string
		bucket    int64
	}
	width := bucket.Milliseconds()
	seen := make(map[pair]bool)
	from, to = t.timeRange()
	from, to = from/width*width, to/width*width+width
	table, err = ext.NewTable("touched", ext.Column("workspace_id", "String"), ext.Column("bucket", "DateTime('UTC')"))
	if err != nil {
		return nil, 0, 0, fmt.Errorf("cannot make the table of touched buckets: %w", err)
	}
	for i, at := range t.time.ColInt64 {
		at := at / width * width
		if key := (pair{string(t.workspace.row(i)), at}); !seen[key] {
			seen[key] = true
			if err := table.Append(key.workspace, time.UnixMilli(at).UTC()); err != nil {
				return nil, 0, 0, fmt.Errorf("cannot list a touched bucket: %w", err)
			}
		}
	}
	return table, from, to, nil
}

// rollupInput returns the differences as rows, of a total without campaign and
// action, and a hash of them: the token of a repair names what it mends.
func rollupInput(diffs []difference, total bool) (proto.Input, uint64) {
	var (
		workspace, campaign stringColumn
		action              dictColumn
		bucket              uint32Column
		micro, refunds      int128Column
		events              int64Column
	)
	hash := fnv.New64a()
	for _, d := range diffs {
		workspace.append([]byte(d.workspace))
		campaign.append([]byte(d.campaign))
		action.append([]byte(d.action))
		bucket.Append(uint32(d.bucket))
		micro.Append(proto.Int128{Low: d.micro.Lo, High: uint64(d.micro.Hi)})
		refunds.Append(proto.Int128{Low: d.refunds.Lo, High: uint64(d.refunds.Hi)})
		events.Append(d.events)
		_, _ = fmt.Fprintf(hash, "%q %d %q %q", d.workspace, d.bucket, d.campaign, d.action)
		_, _ = fmt.Fprintf(hash, " %s %s %d\n", d.micro, d.refunds, d.events)
	}
	in := proto.Input{
		{Name: "workspace_id", Data: &workspace}, {Name: "bucket", Data: &dateTimeColumn{bucket}},
		{Name: "credits_micro", Data: &micro}, {Name: "refunds_micro", Data: &refunds}, {Name: "events", Data: &events},
	}
	if !total {
		in = append(in, proto.InputColumn{Name: "campaign_id", Data: &campaign}, proto.InputColumn{Name: "action", Data: &action})
	}
	return in, hash.Sum64()
}

// dateTimeColumn is DateTime('UTC') in seconds.
type dateTimeColumn struct{ uint32Column }

// Type returns the column's type in ClickHouse.
func (*dateTimeColumn) Type() proto.ColumnType { return "DateTime('UTC')" }
