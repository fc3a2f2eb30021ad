package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/drawdown/drawdown/schemas"
)

// windowOffsets is W of invariant 5 (a): how far back in the log an id that
// comes again with another time is still recognised.
const windowOffsets = 200_000

// What it costs to ask ClickHouse, measured on 30 million rows: a loaded row
// about 0.3 µs, a single look-up in bulk about 0.1 ms, any query some
// milliseconds.
const (
	loadAtOnce      = 4096   // rows: below this loading costs less than deciding
	rowsPerLookup   = 400    // a slice is loaded once its look-ups have cost as much
	lookupsPerLoad  = 100    // look-ups: what the queries of loading cost at least
	lookupsPerQuery = 10_000 // bounds a query's external table to about 1 MB
)

// consumedFilter is the filter of a partition of the consumption topic.
type consumedFilter struct {
	db      driver.Conn
	where   where
	ids     identity
	window  window
	slices  sliceSet
	pending map[key128]wanted
	answers map[key128]answer
}

// where names a partition's rows before an offset: its own of this epoch, and
// those of earlier epochs whose workspace now belongs here.
type where struct {
	epoch      uint32
	kpart      uint16
	partitions int
}

// before is the SQL condition; its parameters are bound by params.
const before = `((epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND koff < {before:UInt64})
	OR (epoch < {epoch:UInt32} AND kafkaMurmurHash(workspace_id) % {partitions:UInt32} = {kpart:UInt16}))`

func (w where) params(before int64) clickhouse.Parameters {
	return clickhouse.Parameters{
		"epoch": fmt.Sprint(w.epoch), "kpart": fmt.Sprint(w.kpart),
		"partitions": fmt.Sprint(w.partitions), "before": fmt.Sprint(before),
	}
}

type wanted struct {
	slice     *slice
	workspace string
	id        string
	time      int64
}

type answer struct {
	found   bool
	content uint32
}

// newConsumedFilter rebuilds the window of span offsets that ends at offset
// next from events. memory bounds the slices in bytes.
func newConsumedFilter(ctx context.Context, db driver.Conn, w where, next, span int64, memory int) (*consumedFilter, error) {
	f := &consumedFilter{
		db: db, where: w, window: window{span: span},
		slices:  sliceSet{bound: memory, acked: next},
		pending: make(map[key128]wanted), answers: make(map[key128]answer),
	}
	const query = `SELECT workspace_id, event_id, koff, content_hash FROM events
		WHERE epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND koff >= {from:UInt64} AND koff < {before:UInt64}
		ORDER BY koff`
	params := w.params(next)
	params["from"] = fmt.Sprint(max(0, next-span))
	rows, err := db.Query(clickhouse.Context(ctx, clickhouse.WithParameters(params)), query)
	if err != nil {
		return nil, fmt.Errorf("cannot read back the last %d ids of partition %d: %w", span, w.kpart, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var workspace, id string
		var koff uint64
		var content uint32
		if err := rows.Scan(&workspace, &id, &koff, &content); err != nil {
			return nil, fmt.Errorf("cannot read back an id: %w", err)
		}
		f.window.put(f.ids.of([]byte(workspace), []byte(id)), int64(koff), content)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("cannot read back the last %d ids of partition %d: %w", span, w.kpart, err)
	}
	return f, nil
}

func same(content, other uint32) verdict {
	if content == other {
		return duplicate
	}
	return conflict
}

func (f *consumedFilter) check(ev *schemas.Event, off int64) verdict {
	k := f.ids.of(ev.WorkspaceID, ev.ID)
	if content, ok := f.window.get(k, off); ok {
		return same(content, ev.ContentHash)
	}
	x := f.slices.touch(int64(ev.Time), off)
	k = k.at(ev.Time)
	if e, ok := x.table.get(k); ok {
		return same(e.content, ev.ContentHash)
	}
	if x.complete {
		return fresh
	}
	if a, ok := f.answers[k]; ok {
		if a.found {
			return same(a.content, ev.ContentHash)
		}
		return fresh
	}
	f.pending[k] = wanted{slice: x, workspace: string(ev.WorkspaceID), id: string(ev.ID), time: int64(ev.Time)}
	return unresolved
}

func (f *consumedFilter) add(ev *schemas.Event, off int64) {
	k := f.ids.of(ev.WorkspaceID, ev.ID)
	f.window.put(k, off, ev.ContentHash)
	f.slices.put(k.at(ev.Time), ev.Time, off, ev.ContentHash)
}

func (f *consumedFilter) acknowledge(done int64) { f.slices.acknowledge(done) }

func (f *consumedFilter) settle() {
	clear(f.answers)
	f.slices.beside = f.window.bytes()
	f.slices.shrink(nil) // the window and recent events take of the room without a slice having grown
}

// resolve answers every pending event, slice by slice: by loading the slice
// where that is cheap or will be, else by primary key.
func (f *consumedFilter) resolve(ctx context.Context) error {
	bySlice := make(map[*slice][]key128)
	for k, w := range f.pending {
		bySlice[w.slice] = append(bySlice[w.slice], k)
	}
	var lookups []key128
	for x, keys := range bySlice {
		if x.dropped { // to make room for one of the others
			lookups = append(lookups, keys...)
			continue
		}
		if x.rows < 0 {
			if err := f.count(ctx, x); err != nil {
				return err
			}
		}
		switch {
		case x.rows == 0:
			x.complete = true
		case tableBytes(int(x.rows)) > f.slices.share(x.order):
			lookups = append(lookups, keys...)
			if x.order > 0 {
				f.slices.split(x)
			}
		case int64(x.misses+len(keys)) >= x.loadAfter():
			if err := f.load(ctx, x, keys); err != nil {
				return err
			}
		default:
			x.misses += len(keys)
			lookups = append(lookups, keys...)
		}
	}
	for len(lookups) > 0 {
		n := min(len(lookups), lookupsPerQuery)
		if err := f.lookUp(ctx, lookups[:n]); err != nil {
			return err
		}
		lookups = lookups[n:]
	}
	clear(f.pending)
	return nil
}

// loadAfter is how many single look-ups cost as much as loading the slice. One
// that was let go of before for want of memory may be so again: then the query
// counts as well.
func (x *slice) loadAfter() int64 {
	switch {
	case x.pressed:
		return max(x.rows/rowsPerLookup, lookupsPerLoad)
	case x.rows <= loadAtOnce:
		return 0
	}
	return x.rows / rowsPerLookup
}

func (f *consumedFilter) sliceParams(x *slice) clickhouse.Parameters {
	params := f.where.params(x.since)
	params["from"], params["to"] = fmt.Sprint(x.from), fmt.Sprint(x.end())
	return params
}

// inSlice bounds the time of a slice in milliseconds.
const inSlice = `time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')`

func (f *consumedFilter) count(ctx context.Context, x *slice) error {
	const query = `SELECT count() FROM events WHERE ` + inSlice + ` AND ` + before
	var n uint64
	if err := f.db.QueryRow(clickhouse.Context(ctx, clickhouse.WithParameters(f.sliceParams(x))), query).Scan(&n); err != nil {
		return fmt.Errorf("cannot count the ids of %s: %w", x, err)
	}
	x.rows = int64(n)
	return nil
}

// load completes a slice. The answers to keys are noted apart, in case the
// slice does not outlive its own loading within the bound on memory.
func (f *consumedFilter) load(ctx context.Context, x *slice, keys []key128) error {
	const query = `SELECT workspace_id, event_id, toUnixTimestamp64Milli(time), content_hash FROM events WHERE ` + inSlice + ` AND ` + before
	rows, err := f.db.Query(clickhouse.Context(ctx, clickhouse.WithParameters(f.sliceParams(x))), query)
	if err != nil {
		return fmt.Errorf("cannot load the ids of %s: %w", x, err)
	}
	defer func() { _ = rows.Close() }()
	for _, k := range keys {
		f.answers[k] = answer{}
	}
	size := x.table.bytes()
	defer func() { f.slices.grown(x, size) }()
	x.table.reserve(x.table.n + int(x.rows))
	f.slices.came += int(x.rows)
	for rows.Next() {
		var workspace, id string
		var at int64
		var content uint32
		if err := rows.Scan(&workspace, &id, &at, &content); err != nil {
			return fmt.Errorf("cannot load the ids of %s: %w", x, err)
		}
		k := f.ids.of([]byte(workspace), []byte(id)).at(schemas.Millis(at))
		x.table.put(idEntry{key: k, content: content, delta: uint32(at - x.from)})
		if _, asked := f.answers[k]; asked {
			f.answers[k] = answer{found: true, content: content}
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("cannot load the ids of %s: %w", x, err)
	}
	x.complete = true
	return nil
}

// eventName is what makes events one at any distance (invariant 5).
type eventName struct {
	workspace, id string
	at            int64
}

// askedTable is the external table "asked" of events to look up by primary key.
func askedTable(names []eventName) (*ext.Table, error) {
	asked, err := ext.NewTable("asked", ext.Column("workspace_id", "String"), ext.Column("time", "DateTime64(3, 'UTC')"), ext.Column("event_id", "String"))
	if err != nil {
		return nil, fmt.Errorf("cannot make the table of ids to look up: %w", err)
	}
	for _, one := range names {
		if err := asked.Append(one.workspace, time.UnixMilli(one.at).UTC(), one.id); err != nil {
			return nil, fmt.Errorf("cannot list an id to look up: %w", err)
		}
	}
	return asked, nil
}

// lookUp asks for single events by primary key.
func (f *consumedFilter) lookUp(ctx context.Context, keys []key128) error {
	const query = `SELECT workspace_id, event_id, toUnixTimestamp64Milli(time), content_hash, epoch, koff FROM events
		WHERE (workspace_id, time, event_id) IN (SELECT workspace_id, time, event_id FROM asked) AND ` + before
	newest := int64(0)
	names := make([]eventName, 0, len(keys))
	for _, k := range keys {
		w := f.pending[k]
		newest = max(newest, w.slice.since)
		names = append(names, eventName{w.workspace, w.id, w.time})
		f.answers[k] = answer{}
	}
	asked, err := askedTable(names)
	if err != nil {
		return err
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(f.where.params(newest)), clickhouse.WithExternalTable(asked))
	rows, err := f.db.Query(ctx, query)
	if err != nil {
		return fmt.Errorf("cannot look up %d ids: %w", len(keys), err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var workspace, id string
		var at int64
		var content, epoch uint32
		var koff uint64
		if err := rows.Scan(&workspace, &id, &at, &content, &epoch, &koff); err != nil {
			return fmt.Errorf("cannot look up ids: %w", err)
		}
		k := f.ids.of([]byte(workspace), []byte(id)).at(schemas.Millis(at))
		// At or after since the table alone decides: on a replay ClickHouse
		// already holds rows of the range that is being built.
		if epoch < f.where.epoch || int64(koff) < f.pending[k].slice.since {
			f.answers[k] = answer{found: true, content: content}
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("cannot look up %d ids: %w", len(keys), err)
	}
	return nil
}

// String names a slice in errors.
func (x *slice) String() string {
	return fmt.Sprintf("[%s, %s)", time.UnixMilli(x.from).UTC().Format(time.RFC3339), time.UnixMilli(x.end()).UTC().Format(time.RFC3339))
}
