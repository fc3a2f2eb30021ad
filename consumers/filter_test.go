package consumers

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"pgregory.net/rapid"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// appendBatch appends records as one uncompressed record batch of format v2.
func appendBatch(dst []byte, base int64, records []sent) []byte {
	var payload []byte
	first := records[0].time.UnixMilli()
	for i, s := range records {
		rec := binary.AppendVarint([]byte{0}, s.time.UnixMilli()-first)
		rec = binary.AppendVarint(rec, int64(i))
		rec = append(binary.AppendVarint(rec, int64(len(s.key))), s.key...)
		rec = append(binary.AppendVarint(rec, int64(len(s.value))), s.value...)
		rec = binary.AppendVarint(rec, 0) // headers
		payload = append(binary.AppendVarint(payload, int64(len(rec))), rec...)
	}
	b := make([]byte, batchHeaderBytes, batchHeaderBytes+len(payload))
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(batchHeaderBytes-batchOverhead+len(payload)))
	b[batchMagicAt] = 2
	binary.BigEndian.PutUint32(b[23:], uint32(len(records)-1))
	binary.BigEndian.PutUint64(b[27:], uint64(first))
	binary.BigEndian.PutUint64(b[35:], uint64(first))
	binary.BigEndian.PutUint32(b[57:], uint32(len(records)))
	b = append(b, payload...)
	binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchAttributesAt:], castagnoli))
	return append(dst, b...)
}

// testbed is a partition of the consumption topic without Kafka: the log is a
// slice, ClickHouse is real.
type testbed struct {
	c      *Consumer
	db     driver.Conn
	span   int64
	memory int

	log     []sent
	part    *partition
	batches []*built // in order of the log
	oracle  naiveFilter
	moves   int // of the partition to a new owner
}

// built is a batch as the first owner built it.
type built struct {
	span
	block    []byte // its columns in wire form
	inserted bool
	done     bool
}

func newTestbed(t testing.TB, db *storetest.Database, span int64, memory int) *testbed {
	t.Helper()
	c, err := New(Config{
		Brokers: []string{"none"}, Group: "none", Topics: schemas.DefaultTopics(), Partitions: 1, Epoch: 1,
		ClickHouse: db.Options(), Limits: schemas.DefaultLimits(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.store.close()
		_ = c.db.Close()
	})
	b := &testbed{c: c, db: c.db, span: span, memory: memory, oracle: naiveFilter{window: span}}
	// The rollups are not this test's.
	for _, view := range []string{"usage_1m_view", "usage_15m_view", "usage_1d_view"} {
		if err := c.db.Exec(context.Background(), `DROP TABLE IF EXISTS `+view); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// fataler is testing.TB and rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// takeOver is a new owner: its filter knows what ClickHouse holds before the
// first batch that is not done, and it builds the batches from there again.
func (b *testbed) takeOver(t fataler) {
	t.Helper()
	b.moves++
	gen := &generation{c: b.c, draining: context.Background(), kicked: make(chan struct{}, 1)}
	b.part = newPartition(gen, schemas.ConsumptionTopic, 0)
	next := int64(0)
	for _, x := range b.batches {
		if !x.done {
			break
		}
		next = x.last + 1
	}
	filter, err := newConsumedFilter(context.Background(), b.db, where{epoch: 1, partitions: 1}, next, b.span, b.memory)
	if err != nil {
		t.Fatalf("%v", err)
	}
	b.part.filter, b.part.pos = filter, next
	for _, x := range b.batches {
		if x.done {
			continue
		}
		if again := b.take(t, x.span); !slices.Equal(x.block, block(again)) {
			t.Fatalf("batch %s has other rows when owner %d builds it again", x.span, b.moves)
		}
	}
}

// build has the owner take in the next n records of the log and requires the
// oracle's verdicts.
func (b *testbed) build(t fataler, n int) {
	t.Helper()
	first := int64(0)
	if len(b.batches) > 0 {
		first = b.batches[len(b.batches)-1].last + 1
	}
	if b.part == nil {
		b.takeOver(t)
	}
	s := span{first, min(first+int64(n), int64(len(b.log))) - 1}
	if s.last < s.first {
		return
	}
	got := b.take(t, s)
	want := b.oracle.judge(t, b.log, s)
	if counted := got.tables[0].koff.ColUInt64; !slices.Equal([]uint64(counted), want.counted) {
		t.Fatalf("batch %s counts offsets %v, want %v", s, counted, want.counted)
	}
	if conflicts := got.rejected.koff.ColUInt64; !slices.Equal([]uint64(conflicts), want.conflicts) || got.duplicates != want.duplicates {
		t.Fatalf("batch %s has conflicts %v and %d duplicates, want %v and %d", s, conflicts, got.duplicates, want.conflicts, want.duplicates)
	}
	b.batches = append(b.batches, &built{span: s, block: block(got)})
}

// take builds the batch of a range, a few answers of Kafka after each other.
func (b *testbed) take(t fataler, s span) *batch {
	t.Helper()
	p := b.part
	p.startBatch(s.first)
	p.pos = s.first
	for at := s.first; at <= s.last; {
		end := min(at+200, s.last+1)
		var raw []byte
		for from := at; from < end; from += 64 {
			raw = appendBatch(raw, from, b.log[from:min(from+64, end)])
		}
		if err := p.take(context.Background(), &fetched{raw: raw}, false); err != nil {
			t.Fatalf("cannot take %d to %d: %v", at, end, err)
		}
		at = end
		b.requireBounded(t)
	}
	got := p.build
	got.close(s.last)
	p.build = nil
	return got
}

// block is the wire form of a batch's columns.
func block(b *batch) []byte {
	var buf proto.Buffer
	for _, c := range b.tables[0].input() {
		c.Data.EncodeColumn(&buf)
	}
	return buf.Buf
}

// insert writes a batch that is not yet inserted, as its intent allows.
func (b *testbed) insert(t fataler, x *built) {
	t.Helper()
	if x.inserted {
		return
	}
	// The rows are gone with the owner that built them, so an owner of its
	// own builds them once more.
	kept := b.part
	defer func() { b.part = kept }()
	rows := newRows(schemas.CreditsConsumed)
	decoder := schemas.NewDecoder(b.c.Limits)
	for off := x.first; off <= x.last; off++ {
		if !b.oracle.isCounted(off) {
			continue
		}
		s := b.log[off]
		var ev schemas.Event
		rec := schemas.Record{Key: s.key, Value: s.value, Timestamp: schemas.MillisOf(s.time)}
		if rejection := decoder.Decode(schemas.ConsumptionTopic, &rec, &ev); rejection != nil {
			t.Fatalf("%v", rejection)
		}
		rows.append(&ev, origin{kafkaTime: s.time.UnixMilli(), epoch: 1, koff: off})
	}
	if rows.len() > 0 {
		if err := b.c.store.insert(context.Background(), "events", "test", fmt.Sprint("test/", x.span), rows.input()); err != nil {
			t.Fatalf("%v", err)
		}
	}
	x.inserted = true
}

// finish inserts the first batch that is not done and acknowledges it.
func (b *testbed) finish(t fataler) {
	t.Helper()
	for _, x := range b.batches {
		if x.done {
			continue
		}
		b.insert(t, x)
		x.done = true
		b.part.filter.acknowledge(x.last + 1)
		return
	}
}

// requireBounded requires that the filter counts its memory right and keeps to
// the bound but for what ClickHouse may not hold yet.
func (b *testbed) requireBounded(t fataler) {
	t.Helper()
	s := &b.part.filter.(*consumedFilter).slices
	total, free := 0, 0
	for i, x := range s.list {
		total += x.table.bytes()
		if x.lastOff < s.acked {
			free += x.table.bytes()
		}
		if i > 0 && s.list[i-1].end() > x.from {
			t.Fatalf("slices overlap: %s and %s", s.list[i-1], x)
		}
	}
	if total != s.bytes {
		t.Fatalf("the slices hold %d bytes, %d are accounted for", total, s.bytes)
	}
	// Growing a table may overshoot once before anything is evicted.
	if total > s.bound && free > s.bound/4 {
		t.Fatalf("the slices hold %d bytes of %d, and %d could be evicted", total, s.bound, free)
	}
}

// naiveFilter is invariant 5 in a few lines.
type naiveFilter struct {
	window  int64
	counted []int64
	byID    map[string][]counted // (workspace, id), in order
}

type counted struct {
	off   int64
	event schemas.Event
}

type verdicts struct {
	counted, conflicts []uint64
	duplicates         uint64
}

func (f *naiveFilter) isCounted(off int64) bool {
	_, found := slices.BinarySearch(f.counted, off)
	return found
}

func (f *naiveFilter) judge(t fataler, log []sent, s span) (out verdicts) {
	t.Helper()
	if f.byID == nil {
		f.byID = make(map[string][]counted)
	}
	decoder := schemas.NewDecoder(schemas.DefaultLimits())
	for off := s.first; off <= s.last; off++ {
		var ev schemas.Event
		rec := schemas.Record{Value: log[off].value}
		if rejection := decoder.Decode(schemas.ConsumptionTopic, &rec, &ev); rejection != nil {
			t.Fatalf("%v", rejection)
		}
		id := fmt.Sprintf("%s %s", ev.WorkspaceID, ev.ID)
		var first *counted
		for i := range f.byID[id] {
			if c := &f.byID[id][i]; off-c.off <= f.window {
				first = c
			}
		}
		for i := range f.byID[id] {
			if c := &f.byID[id][i]; first == nil && c.event.Time == ev.Time {
				first = c
			}
		}
		switch {
		case first == nil:
			f.byID[id] = append(f.byID[id], counted{off, ev})
			f.counted = append(f.counted, off)
			out.counted = append(out.counted, uint64(off))
		case first.event.ContentHash == ev.ContentHash:
			out.duplicates++
		default:
			out.conflicts = append(out.conflicts, uint64(off))
		}
	}
	return out
}

// use is one event for a testbed's log.
func use(id int, at time.Time, credits schemas.Credits, now time.Time) sent {
	ev := schemas.Event{
		Type: schemas.CreditsConsumed, ID: fmt.Appendf(nil, "id-%d", id), Source: []byte("/test"), Time: schemas.MillisOf(at),
		WorkspaceID: fmt.Appendf(nil, "ws_%d", id%3), Action: []byte("a"), Credits: credits,
	}
	return sent{key: ev.WorkspaceID, value: schemas.EncodeEvent(&ev), time: now}
}

// TestFilter has an engine of its own: tests that kill consumers make the
// shared one abort.
func TestFilter(t *testing.T) {
	t.Parallel()
	engine := storetest.NewEngine(t, storetest.EngineOptions{})
	t.Run("EqualsTheOracle", func(t *testing.T) { filterEqualsTheOracle(t, engine.Database(t)) })
	t.Run("StandsAReplayStormOver35Days", func(t *testing.T) { filterStandsAStorm(t, engine.Database(t)) })
	t.Run("LooksUpWhatIsRarelyTouched", func(t *testing.T) { filterLooksUp(t, engine.Database(t)) })
	t.Run("KnowsEarlierEpochs", func(t *testing.T) { filterKnowsEarlierEpochs(t, engine.Database(t)) })
	t.Run("PartitionsAsSchemasDoes", func(t *testing.T) { clickHousePartitions(t, engine.Database(t)) })
}

// filterEqualsTheOracle: whatever comes again after whatever distance, however
// the log is cut into batches, whenever the partition moves, the verdicts are
// the oracle's and a batch built again has the same bytes.
func filterEqualsTheOracle(t *testing.T, db *storetest.Database) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	bed := newTestbed(t, db, 150, 64<<10)
	rapid.Check(t, func(t *rapid.T) {
		memory := rapid.SampledFrom([]int{16 << 10, 64 << 10}).Draw(t, "memory")
		b := &testbed{c: bed.c, db: bed.db, span: bed.span, memory: memory, oracle: naiveFilter{window: bed.span}}
		if err := b.db.Exec(context.Background(), `TRUNCATE TABLE events`); err != nil {
			t.Fatalf("%v", err)
		}
		var events []struct {
			id      int
			at      time.Time
			credits schemas.Credits
		}
		send := func(t *rapid.T) {
			for range rapid.IntRange(1, 400).Draw(t, "events") {
				kind := rapid.IntRange(0, 9).Draw(t, "kind")
				if kind < 5 || len(events) == 0 {
					age := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour, 35 * 24 * time.Hour}).Draw(t, "age")
					at := now.Add(-time.Duration(rapid.Int64Range(0, int64(age)-1).Draw(t, "before")))
					events = append(events, struct {
						id      int
						at      time.Time
						credits schemas.Credits
					}{len(events), at.Truncate(time.Millisecond), 1})
					e := events[len(events)-1]
					b.log = append(b.log, use(e.id, e.at, e.credits, now))
					continue
				}
				e := events[rapid.IntRange(0, len(events)-1).Draw(t, "again")]
				switch kind {
				case 8:
					e.credits = 2 // a conflict
				case 9:
					e.at = e.at.Add(-time.Hour * 24 * 10).Add(time.Millisecond) // another time
					if now.Sub(e.at) > 35*24*time.Hour {
						e.at = now
					}
				}
				b.log = append(b.log, use(e.id, e.at, e.credits, now))
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"Send":   send,
			"Build":  func(t *rapid.T) { b.build(t, rapid.IntRange(1, 500).Draw(t, "records")) },
			"Finish": func(t *rapid.T) { b.finish(t) },
			"Insert": func(t *rapid.T) { // written, but not yet said to be done
				for _, x := range b.batches {
					if !x.inserted {
						b.insert(t, x)
						return
					}
				}
			},
			"Move": func(t *rapid.T) { b.takeOver(t) },
		})
	})
}

// filterStandsAStorm replays events of five weeks in random order through a
// filter that can hold a small part of them, with changes of owner.
func filterStandsAStorm(t *testing.T, db *storetest.Database) {
	b := newTestbed(t, db, 1000, 64<<10)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	rng := rand.New(rand.NewPCG(3, 4))
	const events = 12_000
	const weeks = 35 * 24 * time.Hour
	for i := range events { // in order of time, as a live stream is
		at := now.Add(-weeks + time.Duration(i)*(weeks/events)).Truncate(time.Millisecond)
		b.log = append(b.log, use(i, at.Add(time.Second), 1, now))
	}
	for i := range events / 2 {
		e := rng.IntN(events)
		b.log = append(b.log, b.log[e])
		if i%100 == 0 { // with a new one now and then
			b.log = append(b.log, use(events+i, now.Add(-time.Duration(rng.Int64N(int64(weeks)))).Truncate(time.Millisecond), 1, now))
		}
	}
	for i := 0; len(b.batches) == 0 || b.batches[len(b.batches)-1].last+1 < int64(len(b.log)); i++ {
		b.build(t, 1500)
		if i%2 == 1 {
			b.finish(t)
			b.finish(t)
		}
		if i%3 == 2 {
			b.takeOver(t)
		}
	}
	if n := len(b.oracle.counted); n != events+events/200 {
		t.Errorf("%d events are counted, want %d", n, events+events/200)
	}
}

// filterLooksUp: single questions about a large slice go by primary key, until
// they have cost as much as loading it.
func filterLooksUp(t *testing.T, db *storetest.Database) {
	b := newTestbed(t, db, 1000, 8<<20)
	now := time.Date(2026, 11, 22, 12, 30, 0, 0, time.UTC)
	rng := rand.New(rand.NewPCG(7, 8))
	const events = 20_000
	for i := range events {
		b.log = append(b.log, use(i, now.Add(-time.Hour+time.Duration(i)*100*time.Millisecond), 1, now))
	}
	b.build(t, events)
	b.finish(t)
	for range 100 {
		at := now.Add(-time.Duration(rng.Int64N(int64(time.Hour)))).Truncate(time.Millisecond)
		fresh := use(len(b.log), at, 1, now)
		e := b.log[rng.IntN(events-2000)]
		b.log = append(b.log, e, fresh, e)
	}
	b.takeOver(t)
	lookedUp := false
	for b.batches[len(b.batches)-1].last+1 < int64(len(b.log)) {
		b.build(t, 3)
		for _, x := range b.part.filter.(*consumedFilter).slices.list {
			lookedUp = lookedUp || x.misses > 0 && !x.complete
		}
	}
	if !lookedUp {
		t.Error("the slice was loaded for a single question")
	}
	held := 0
	for _, x := range b.part.filter.(*consumedFilter).slices.list {
		if x.complete {
			held += x.table.n
		}
	}
	if held < events {
		t.Errorf("%d ids are held after many questions, want all %d", held, events)
	}
}

// filterKnowsEarlierEpochs: an event counted in another epoch, perhaps in
// another partition, is a duplicate at the same instant.
func filterKnowsEarlierEpochs(t *testing.T, db *storetest.Database) {
	conn := db.Conn(t)
	ctx := context.Background()
	for p := range 6 {
		for i := range 40 {
			ws := fmt.Sprintf("ws_%d", i)
			if schemas.Partition([]byte(ws), 6) != p {
				continue
			}
			if err := conn.Exec(ctx, `INSERT INTO events (workspace_id, event_id, time, content_hash, epoch, kpart, koff) VALUES (?, 'e', fromUnixTimestamp64Milli(?, 'UTC'), 7, 1, ?, ?)`,
				ws, int64(1_790_000_000_000), p, i); err != nil {
				t.Fatal(err)
			}
		}
	}
	known := 0
	for p := range 4 { // four partitions now
		f, err := newConsumedFilter(ctx, conn, where{epoch: 2, kpart: uint16(p), partitions: 4}, 0, windowOffsets, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			ws := fmt.Sprintf("ws_%d", i)
			if schemas.Partition([]byte(ws), 4) != p {
				continue
			}
			for _, test := range []struct {
				id   string
				at   schemas.Millis
				hash uint32
				want verdict
			}{
				{"e", 1_790_000_000_000, 7, duplicate}, {"e", 1_790_000_000_000, 8, conflict},
				{"e", 1_790_000_000_001, 7, fresh}, {"f", 1_790_000_000_000, 7, fresh},
			} {
				ev := &schemas.Event{WorkspaceID: []byte(ws), ID: []byte(test.id), Time: test.at, ContentHash: test.hash}
				got := f.check(ev, 0)
				if got == unresolved {
					if err := f.resolve(ctx); err != nil {
						t.Fatal(err)
					}
					got = f.check(ev, 0)
				}
				if got != test.want {
					t.Errorf("%s %+v is %d, want %d", ws, test, got, test.want)
				}
			}
			known++
		}
	}
	if known != 40 {
		t.Errorf("%d workspaces have a partition, want 40", known)
	}
}

// clickHousePartitions: the condition on earlier epochs finds a workspace's
// partition as Kafka's producers do.
func clickHousePartitions(t *testing.T, db *storetest.Database) {
	conn := db.Conn(t)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		ws := make([]byte, 1+rng.IntN(40))
		for i := range ws {
			ws[i] = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789._:-"[rng.IntN(46)]
		}
		n := 1 + rng.IntN(100)
		var got uint32
		ctx := clickhouse.Context(context.Background(), clickhouse.WithParameters(clickhouse.Parameters{"ws": string(ws), "n": fmt.Sprint(n)}))
		if err := conn.QueryRow(ctx, `SELECT toUInt32(kafkaMurmurHash({ws:String}) % {n:UInt32})`).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if want := schemas.Partition(ws, n); int(got) != want {
			t.Fatalf("%s of %d partitions is in %d for ClickHouse, %d here", ws, n, got, want)
		}
	}
}
