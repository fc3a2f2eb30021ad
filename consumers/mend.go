package consumers

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/big"
	"slices"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// interval is a stretch of a workspace's time that is compared, in milliseconds.
type interval struct {
	workspace string
	from, to  int64
}

// intervals are the minutes that rows fall into.
func (r *rows) intervals() []interval {
	const minute = int64(time.Minute / time.Millisecond)
	seen := make(map[interval]bool)
	var all []interval
	for i, at := range r.time.ColInt64 {
		at -= at % minute
		if s := (interval{string(r.workspace.row(i)), at, at + minute}); !seen[s] {
			seen[s] = true
			all = append(all, s)
		}
	}
	return all
}

// difference is what a rollup lacks (negative: has too much) for one key.
type difference struct {
	workspace, campaign, action string
	bucket                      int64 // seconds
	micro, refunds              schemas.Total
	events                      int64
}

// key is the difference without its figures.
func (d difference) key() difference {
	return difference{workspace: d.workspace, campaign: d.campaign, action: d.action, bucket: d.bucket}
}

// mend compares each rollup with its source for the buckets that a batch touches,
// and inserts the differences as signed rows.
func (p *partition) mend(ctx context.Context, b *batch) error {
	if b.tables[0].len() == 0 {
		return nil
	}
	if err := p.mendFrom(ctx, b, 0); err != nil {
		return err
	}
	// When campaigns were used last is not compared: the latest holds, so saying
	// it again does no harm.
	_, err := p.insert(ctx, "campaign_activity", p.token(b.span, "campaign_activity"), activityInput(b.tables[0]))
	return err
}

// mendFrom mends the rollups from one of the levels on in the minutes of a batch.
func (p *partition) mendFrom(ctx context.Context, b *batch, level int) error {
	touched, token := b.tables[0].intervals(), func(table string) string { return p.token(b.span, table) }
	before, err := p.provableFrom(ctx)
	if err != nil {
		return err
	}
	if level == 0 {
		if err := p.mendOwn(ctx, b, touched, before, token); err != nil {
			return err
		}
	}
	return p.mendBefore(ctx, touched, before, level, token, &changes{})
}

// mendOwn mends minutes of which raw events may have aged out or are missing for
// good: usage_1m is to keep what it alone still knows of them. A key that lacks
// exactly what the batch brought lacks the batch; any other difference was there
// before it, or was made greater by it, which cannot be told, and stays.
func (p *partition) mendOwn(ctx context.Context, b *batch, touched []interval, before schemas.Millis, token func(table string) string) error {
	unknown := slices.DeleteFunc(slices.Clone(touched), func(s interval) bool { return s.from >= int64(before) })
	if len(unknown) == 0 {
		return nil
	}
	brought, err := p.brought(ctx, b)
	if err != nil {
		return err
	}
	_, err = p.mendRollups(ctx, unknown, rollup.Levels[:1], token, func(d difference) bool { return brought[d.key()] == d })
	return err
}

// brought is what the rows of a batch add up to, minute by minute.
func (p *partition) brought(ctx context.Context, b *batch) (map[difference]difference, error) {
	t := b.tables[0]
	query := `SELECT workspace_id, toStartOfMinute(time) AS start, campaign_id, action, sum(toInt128(credits_micro)),
			sum(toInt128(if(credits_micro < 0, -credits_micro, 0))), toInt64(count()) FROM ` + t.table + inRange + ` GROUP BY workspace_id, start, campaign_id, action`
	all, err := readAll(ctx, p, query, t.rangeParams(b.span), scanDifference)
	if err != nil {
		return nil, err
	}
	brought := make(map[difference]difference, len(all))
	for _, d := range all {
		brought[d.key()] = d
	}
	return brought, nil
}

// mendRollups compares rollups with their sources for intervals, each after the
// ones that it is made from, and inserts the differences as signed rows. It
// returns how many keys differed, and the last token. It is exact because a
// workspace has one partition and its owner is here: nobody else adds to these
// buckets meanwhile. token begins the tokens, which go on with a hash of what
// they mend. Where a rollup is made anew, the new table is mended before it. only
// says which differences; nil: all.
func (p *partition) mendRollups(ctx context.Context, touched []interval, levels []rollup.Level, token func(table string) string, only func(difference) bool) (mended mending, err error) {
	for attempt := 1; ; attempt++ {
		mended, err = p.mendLevels(ctx, touched, p.withAnew(levels), token, only)
		if !errors.Is(err, errAnewOver) || attempt > repairAttempts {
			return mended, err
		}
		if err := p.lookForRebuilds(ctx); err != nil {
			return mended, err
		}
	}
}

func (p *partition) mendLevels(ctx context.Context, touched []interval, levels []rollup.Level, token func(table string) string, only func(difference) bool) (mended mending, err error) {
	for i := range levels {
		l := &levels[i]
		for attempt := 1; ; attempt++ {
			diffs, err := p.differences(ctx, touched, l)
			if err != nil {
				return mended, err
			}
			if only != nil {
				diffs = slices.DeleteFunc(diffs, func(d difference) bool { return !only(d) })
			}
			if len(diffs) == 0 {
				break
			}
			if attempt > repairAttempts {
				return mended, park("rollup_mismatch", "%s still differs from its source in %d keys after %d repairs under %s", l.Table, len(diffs), repairAttempts, token(l.Table))
			}
			p.c.log.Warn("a rollup differs from its source and is mended", "table", l.Table, "partition", p.String(), "token", token(l.Table), "keys", len(diffs))
			p.c.metrics.repairs.WithLabelValues(l.Table).Add(float64(len(diffs)))
			n, err := p.addDifferences(ctx, l, token(l.Table)+"/mend", attempt, diffs)
			if err != nil {
				return mended, err
			}
			mended.keys += len(diffs)
			mended.token = n
		}
	}
	return mended, nil
}

// addDifferences puts them into a rollup, under a token that names what they are.
func (p *partition) addDifferences(ctx context.Context, l *rollup.Level, token string, attempt int, diffs []difference) (used string, err error) {
	in, hash := rollupInput(diffs, l.Total)
	used = fmt.Sprintf("%s-%d-%016x", token, attempt, hash)
	_, err = p.insert(ctx, l.Table, used, in)
	return used, err
}

// mending is what mendRollups did.
type mending struct {
	keys  int
	token string // the last
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

// differences returns source minus rollup for the buckets of intervals, non-zero
// keys only, in order of their key.
func (p *partition) differences(ctx context.Context, intervals []interval, l *rollup.Level) ([]difference, error) {
	if len(intervals) == 0 {
		return nil, nil
	}
	touched, from, to, err := touchedBy(intervals, l.Bucket)
	if err != nil {
		return nil, err
	}
	const condition = "s.workspace_id IN (SELECT workspace_id FROM touched) AND (s.workspace_id, {bucket}) IN (SELECT workspace_id, bucket FROM touched)"
	return p.differencesIn(ctx, condition, touched, from, to, l)
}

// differencesIn are those of the rows that condition, which reads the table
// touched, restricts, in buckets that start in [from, to).
func (p *partition) differencesIn(ctx context.Context, condition string, touched *ext.Table, from, to int64, l *rollup.Level) ([]difference, error) {
	query := `SELECT workspace_id, start, campaign_id, action, sum(c) - sum(cf) AS dc, sum(r) - sum(rf) AS dr, sum(n) - sum(nf) AS dn FROM (` + l.Compared(condition) + `)
		GROUP BY workspace_id, start, campaign_id, action HAVING dc != 0 OR dr != 0 OR dn != 0
		ORDER BY workspace_id, start, campaign_id, action`
	params := clickhouse.Parameters{"from": fmt.Sprint(from), "to": fmt.Sprint(to)}
	return readAll(ctx, p, query, params, scanDifference, clickhouse.WithExternalTable(touched))
}

func scanDifference(rows driver.Rows) (d difference, err error) {
	var bucket time.Time
	var micro, refunds big.Int
	if err := rows.Scan(&d.workspace, &bucket, &d.campaign, &d.action, &micro, &refunds, &d.events); err != nil {
		return d, err
	}
	d.bucket = bucket.Unix()
	if d.micro, err = schemas.TotalFromBig(&micro); err != nil {
		return d, err
	}
	d.refunds, err = schemas.TotalFromBig(&refunds)
	return d, err
}

// touchedBy returns the distinct (workspace, bucket) pairs of intervals as an
// external table, and the time they span in milliseconds.
func touchedBy(intervals []interval, bucket time.Duration) (table *ext.Table, from, to int64, err error) {
	type pair struct {
		workspace string
		bucket    int64
	}
	width := bucket.Milliseconds()
	seen := make(map[pair]bool)
	table, err = ext.NewTable("touched", ext.Column("workspace_id", "String"), ext.Column("bucket", "DateTime('UTC')"))
	if err != nil {
		return nil, 0, 0, fmt.Errorf("cannot make the table of touched buckets: %w", err)
	}
	from, to = math.MaxInt64, 0
	for _, s := range intervals {
		for at := s.from / width * width; at < s.to; at += width {
			key := pair{s.workspace, at}
			if seen[key] {
				continue
			}
			seen[key] = true
			from, to = min(from, at), max(to, at+width)
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
