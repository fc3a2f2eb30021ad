package consumers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// rowPlace is where a row of a table lies at present; a merge moves it, and what
// is asked of the old place then touches nothing.
type rowPlace struct {
	part   string
	offset uint64
}

// compare orders places as their rows came: parts of a partition are numbered as
// they are made, and a merge keeps that order, so two who look at different
// times find the same of two equal rows to be the first. By the text of their
// names, part 10 would come before part 9, and after a merge behind it: each of
// two equal rows would be the surplus one to one of two who look.
func (at rowPlace) compare(other rowPlace) int {
	a, b := strings.Split(at.part, "_"), strings.Split(other.part, "_")
	block := func(name []string) int64 {
		if len(name) < 2 {
			return 0
		}
		n, _ := strconv.ParseInt(name[1], 10, 64) // the server's own: partition_first_last_level
		return n
	}
	return cmp.Or(strings.Compare(a[0], b[0]), cmp.Compare(block(a), block(b)), strings.Compare(at.part, other.part), cmp.Compare(at.offset, other.offset))
}

// oddRow is a row that should not be there.
type oddRow struct {
	rowPlace
	koff      uint64
	hash      uint32
	workspace string
	time      int64
}

func (r *oddRow) minute() interval {
	const minute = int64(time.Minute / time.Millisecond)
	at := r.time - r.time%minute
	return interval{r.workspace, at, at + minute}
}

// odd compares the rows of a range, one by one, with those that were built: the
// later ones of an offset, and those of other offsets or content, are surplus.
func (p *partition) odd(ctx context.Context, s span, t *rows) (surplus []oddRow, lost map[uint64]bool, err error) {
	want := make(map[uint64]uint32, t.len())
	for i, off := range t.koff.ColUInt64 {
		want[off] = t.hash.ColUInt32[i]
	}
	query := `SELECT _part, _part_offset, koff, content_hash, workspace_id, toUnixTimestamp64Milli(time) FROM ` + t.table + inRange
	all, err := readAll(ctx, p, query, t.rangeParams(s), func(rows driver.Rows) (row oddRow, err error) {
		err = rows.Scan(&row.part, &row.offset, &row.koff, &row.hash, &row.workspace, &row.time)
		return row, err
	})
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(all, func(a, b oddRow) int { return a.compare(b.rowPlace) })
	seen := make(map[uint64]bool, len(want))
	for _, row := range all {
		if hash, ok := want[row.koff]; !ok || hash != row.hash || seen[row.koff] {
			surplus = append(surplus, row)
			continue
		}
		seen[row.koff] = true
	}
	lost = make(map[uint64]bool)
	for off := range want {
		if !seen[off] {
			lost[off] = true
		}
	}
	return surplus, lost, nil
}

// removed fails while rows of a table are still being removed, which one who was
// here before may have begun: a server that was killed goes on with it later.
func (p *partition) removed(ctx context.Context, table string) error {
	const query = `SELECT count() FROM system.mutations WHERE database = currentDatabase() AND table = {table:String} AND NOT is_done AND command LIKE '%_row_exists%'`
	var under uint64
	err := p.read(ctx, query, clickhouse.Parameters{"table": table}, func(rows driver.Rows) error { return rows.Scan(&under) })
	if err == nil && under > 0 {
		err = fmt.Errorf("rows of %s are still being removed: %w", table, errLater)
	}
	return err
}

// removedAtOnce bounds the text of a DELETE.
const removedAtOnce = 500

// remove deletes rows by the place where they lie.
func (p *partition) remove(ctx context.Context, table string, surplus []oddRow) error {
	for chunk := range slices.Chunk(surplus, removedAtOnce) {
		least, most := chunk[0].koff, chunk[0].koff
		places := make([]rowPlace, len(chunk))
		for i, row := range chunk {
			least, most = min(least, row.koff), max(most, row.koff)
			places[i] = row.rowPlace
		}
		condition := "epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND koff >= {first:UInt64} AND koff <= {last:UInt64}"
		if table == "rejections" {
			condition += " AND topic = {topic:String}"
		}
		if err := p.removeAt(ctx, table, condition, span{int64(least), int64(most)}, places); err != nil {
			return err
		}
		p.c.log.Warn("rows that are there twice are removed", "table", table, "partition", p.String(), "rows", len(chunk))
		p.c.metrics.repairs.WithLabelValues(table).Add(float64(len(chunk)))
	}
	return nil
}

// removeAt runs one lightweight DELETE. Once it is sent it is not cancelled, and
// what it did is looked at again, whatever it answers.
func (p *partition) removeAt(ctx context.Context, table, condition string, s span, places []rowPlace) error {
	if !p.gen.leased() || ctx.Err() != nil {
		return errOver
	}
	params := spanParams(s)
	params["topic"], params["epoch"], params["kpart"] = p.topic, fmt.Sprint(p.c.Epoch), fmt.Sprint(p.id)
	listed := make([]string, len(places))
	for i, at := range places {
		// Names of parts are the server's own: letters, digits and underscores.
		listed[i] = fmt.Sprintf("('%s',%d)", strings.NewReplacer(`\`, "", "'", "").Replace(at.part), at.offset)
	}
	deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteWithin)
	defer cancel()
	deleting = clickhouse.Context(deleting, clickhouse.WithParameters(params), clickhouse.WithSettings(clickhouse.Settings{"lightweight_deletes_sync": 2}))
	err := p.c.db.Exec(deleting, "DELETE FROM "+table+" WHERE "+condition+" AND (_part, _part_offset) IN ("+strings.Join(listed, ",")+")")
	if err != nil {
		return fmt.Errorf("cannot remove %d rows of %s: %w", len(places), table, err)
	}
	return nil
}

// rejectionsKept is how long rejections are sure to be there: their TTL is 90
// days from when they came.
const rejectionsKept = 89 * 24 * time.Hour

// verifyRangeRejections is verifyRange for the rejections of a batch.
func (p *partition) verifyRangeRejections(ctx context.Context, b *batch) (done changes, err error) {
	const query = `SELECT _part, _part_offset, koff FROM rejections WHERE topic = {topic:String} AND epoch = {epoch:UInt32}
		AND kpart = {kpart:UInt16} AND koff >= {first:UInt64} AND koff <= {last:UInt64}`
	all, err := readAll(ctx, p, query, spanParams(b.span), func(rows driver.Rows) (row oddRow, err error) {
		err = rows.Scan(&row.part, &row.offset, &row.koff)
		return row, err
	})
	if err != nil {
		return done, err
	}
	want := make(map[uint64]bool)
	for _, off := range b.rejected.koff.ColUInt64 {
		want[off] = true
	}
	slices.SortFunc(all, func(a, b oddRow) int { return a.compare(b.rowPlace) })
	var surplus []oddRow
	for _, row := range all {
		if want[row.koff] {
			delete(want, row.koff)
		} else {
			surplus = append(surplus, row)
		}
	}
	if b.lastKoff >= 0 && p.c.now().Sub(time.UnixMilli(b.lastTime)) > rejectionsKept {
		want = nil // they have aged out: what was said of them is not kept longer than promised
	}
	if err := p.removed(ctx, "rejections"); err != nil {
		return done, err
	}
	if err := p.remove(ctx, "rejections", surplus); err != nil {
		return done, err
	}
	if len(want) == 0 {
		return changes{deleted: len(surplus)}, nil
	}
	return changes{deleted: len(surplus), inserted: len(want)}, p.verifyRejections(ctx, b)
}
