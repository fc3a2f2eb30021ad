package consumers

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

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
	for _, view := range []string{"usage_1m_view", "usage_15m_view", "usage_15m_total_view", "usage_1d_view"} {
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
	// It is asked between answers of Kafka, when all that may go has gone.
	if total > s.room() && free > 0 {
		t.Fatalf("the slices hold %d bytes of %d, and %d could be evicted", total, s.room(), free)
	}
	// What ClickHouse may not hold has to stay, in tables that may just have
	// doubled, of 64 places at least.
	stays := 4*s.recent.n*idEntryBytes + 2*len(s.list)*idTableFirst*idEntryBytes
	if total > s.room()+stays {
		t.Fatalf("the slices hold %d bytes of %d, of which %d must stay", total, s.room(), stays)
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
