package consumers

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// stream makes events as they arrive live: each some milliseconds after the
// one before, under ids of UUID length.
type stream struct {
	ev schemas.Event
	n  int
}

func newStream() *stream {
	return &stream{ev: schemas.Event{
		Type: schemas.CreditsConsumed, Source: []byte("/campaign-runner"), WorkspaceID: []byte("ws_acme"), CampaignID: []byte("cmp_7"),
		Action: []byte("lead_sourced"), Actor: []byte("agent:alice"), Credits: schemas.MicrosPerCredit, ContentHash: 7,
		ID: []byte("0197c9d2-7c1e-7b44-9b0e-000000000000"),
	}}
}

func (s *stream) at(i int) *schemas.Event {
	for digit, rest := len(s.ev.ID)-1, i; digit >= len(s.ev.ID)-12; digit, rest = digit-1, rest>>4 {
		s.ev.ID[digit] = "0123456789abcdef"[rest&15]
	}
	s.ev.Time = schemas.Millis(1_790_000_000_000 + int64(i)/50)
	return &s.ev
}

func (s *stream) next() *schemas.Event {
	s.n++
	return s.at(s.n)
}

// memoryFilter is a filter over an empty table that it has asked already.
func memoryFilter(memory int) *consumedFilter {
	return &consumedFilter{
		window: window{span: windowOffsets}, slices: sliceSet{bound: memory},
		pending: make(map[key128]wanted), answers: make(map[key128]answer),
	}
}

// judgeOne takes one event through the filter as partition.count does.
func (f *consumedFilter) judgeOne(ev *schemas.Event, off int64) verdict {
	v := f.check(ev, off)
	if v == unresolved { // an empty table has no row of it
		for k, w := range f.pending {
			w.slice.complete = true
			delete(f.pending, k)
		}
		v = fresh
	}
	if v == fresh {
		f.add(ev, off)
	}
	return v
}

// BenchmarkFilterFresh: an event with a new id, in a stream that fills the
// filter and has it evict.
func BenchmarkFilterFresh(b *testing.B) {
	f, s := memoryFilter(64<<20), newStream()
	off := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		f.acknowledge(off - 100_000)
		if f.judgeOne(s.next(), off) != fresh {
			b.Fatal("a new event is not fresh")
		}
		off++
	}
}

// BenchmarkFilterDuplicate: an event that was counted long before the window,
// among a million.
func BenchmarkFilterDuplicate(b *testing.B) {
	const known = 1_000_000
	f, s := memoryFilter(256<<20), newStream()
	for off := range int64(known) {
		f.judgeOne(s.next(), off)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 7919) % (known - 2*windowOffsets)
		if f.check(s.at(i+1), known) != duplicate {
			b.Fatal("a known event is no duplicate")
		}
	}
}

// BenchmarkColumns: appending an event to a batch.
func BenchmarkColumns(b *testing.B) {
	rows, s := newRows(schemas.CreditsConsumed), newStream()
	ev := s.next()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n++; n%maxBatchRows == 0 {
			rows.reset()
		}
		rows.append(ev, origin{kafkaTime: int64(ev.Time), epoch: 1, koff: int64(n)})
	}
}

// BenchmarkInsert: a batch of 100,000 rows into ClickHouse, rollups included.
func BenchmarkInsert(b *testing.B) {
	const size = 100_000
	bed := newRig(b, storetest.ClickHouse(b))
	c, err := New(bed.config())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.store.close()
		_ = c.db.Close()
	})
	rows, s := newRows(schemas.CreditsConsumed), newStream()
	for i := range size {
		rows.append(s.next(), origin{kafkaTime: int64(s.ev.Time), epoch: 1, koff: int64(i)})
	}
	n := 0
	for b.Loop() {
		n++
		if err := c.store.insert(context.Background(), "events", "bench", fmt.Sprint("bench/", n), rows.input()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*size/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkRecords: walking a log of JSON events per codec, checksums on.
func BenchmarkRecords(b *testing.B) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, storetest.ClickHouse(b))
			client, err := kgo.NewClient(kgo.SeedBrokers(r.broker.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()),
				kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(100*time.Millisecond))
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			s := newStream()
			var records []*kgo.Record
			for range 5000 {
				records = append(records, &kgo.Record{Topic: r.broker.Topics.Consumption, Key: s.ev.WorkspaceID, Value: schemas.EncodeEvent(s.next())})
			}
			if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
				b.Fatal(err)
			}
			f := &fetched{raw: r.rawLog(r.broker.Topics.Consumption, 0, 0)}
			reader := recordReader{until: noEnd}
			total, bytes := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				if _, err := reader.each(f, 0, func(rec *record) error { total++; bytes += len(rec.value); return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(total), "ns/record")
			b.ReportMetric(float64(bytes)/1e6/b.Elapsed().Seconds(), "MB/s")
		})
	}
}
