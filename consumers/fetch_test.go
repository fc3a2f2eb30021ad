package consumers

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/internal/storetest"
)

// rawLog is what a fetch of a partition from offset on answers, as bytes.
func (r *rig) rawLog(topic string, p int, offset int64) []byte {
	r.t.Helper()
	c, err := New(r.config())
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() {
		c.transport.CloseIdleConnections()
		_ = c.db.Close()
	}()
	f, err := c.source.fetch(context.Background(), topic, p, offset, time.Second)
	if err != nil {
		r.t.Fatal(err)
	}
	return f.raw
}

// TestFetchHandsOverTheRecordSet guards what fetch.go rests on: the pinned
// kafka-go takes our Fetch types and gives record sets as they are.
func TestFetchHandsOverTheRecordSet(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.consume(r.onesIn(0, 3, "id")...)
	raw := r.rawLog(r.broker.Topics.Consumption, 0, 0)
	if len(raw) < batchHeaderBytes || raw[batchMagicAt] != 2 || binary.BigEndian.Uint32(raw[57:]) != 3 {
		t.Fatalf("no record batch of format v2 with three records: %x", raw)
	}
	if got := crc32.Checksum(raw[batchAttributesAt:], castagnoli); got != binary.BigEndian.Uint32(raw[batchCRCAt:]) {
		t.Errorf("the checksum of the batch differs: the bytes are not as the broker sent them")
	}
}

// TestConsumerParksOnACorruptRecordBatch breaks the bytes of the second batch
// of one partition; nothing of it or after it is counted, and the other
// partitions go on.
func TestConsumerParksOnACorruptRecordBatch(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(batch []byte){
		"Payload":         func(b []byte) { b[len(b)-5] ^= 1 },
		"Checksum":        func(b []byte) { b[batchCRCAt] ^= 1 },
		"LengthTooLarge":  func(b []byte) { binary.BigEndian.PutUint32(b[batchLengthAt:], 1<<30) },
		"LengthTooSmall":  func(b []byte) { binary.BigEndian.PutUint32(b[batchLengthAt:], 3) },
		"LengthNegative":  func(b []byte) { binary.BigEndian.PutUint32(b[batchLengthAt:], 1<<31|7) },
		"LastOffsetDelta": func(b []byte) { binary.BigEndian.PutUint32(b[23:], 1<<32-100) },
		"BaseOffset":      func(b []byte) { binary.BigEndian.PutUint64(b, 0) },
		"Magic":           func(b []byte) { b[batchMagicAt] = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.ClickHouse(t))
			topic := r.broker.Topics.Consumption
			for _, p := range []int{0, 1} {
				for i := range 3 {
					r.consume(r.onesIn(p, 5, fmt.Sprintf("%d", i))...)
				}
			}
			heal := r.breakLog(topic, 0, 5, breakIt)
			c := r.start()
			c.requireParked(t, topic, 0, "corrupt")
			r.waitDoneOf(topic, 1)
			if n := r.number(`SELECT count() FROM events WHERE kpart = 0 AND koff >= 5`); n != 0 {
				t.Errorf("%d events from the corrupt batch on are counted", n)
			}
			c.mustStop(t)
			heal()
			r.start()
			r.requireExact()
		})
	}
}

// breakLog has fetches of a partition from offset on, and those that cover it,
// answered with a log whose batch at offset is broken, until heal.
func (r *rig) breakLog(topic string, p int, offset int64, breakIt func(batch []byte)) (heal func()) {
	r.t.Helper()
	good := r.rawLog(topic, p, 0)
	var at int
	for at = 0; int64(binary.BigEndian.Uint64(good[at:])) != offset; {
		at += int(binary.BigEndian.Uint32(good[at+batchLengthAt:])) + batchOverhead
	}
	bad := slices.Clone(good)
	end := at + int(binary.BigEndian.Uint32(good[at+batchLengthAt:])) + batchOverhead
	breakIt(bad[at:end])
	_, logEnd := r.logRange(topic, p)
	healed := make(chan struct{})
	r.broker.Cluster.ControlKey(kmsg.Fetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-healed:
			return nil, nil, false
		default:
		}
		asked := req.(*kmsg.FetchRequest)
		if len(asked.Topics) != 1 || asked.Topics[0].Topic != topic || asked.Topics[0].Partitions[0].Partition != int32(p) {
			return nil, nil, false
		}
		r.broker.Cluster.KeepControl()
		res := asked.ResponseKind().(*kmsg.FetchResponse)
		t := kmsg.NewFetchResponseTopic()
		t.Topic = topic
		partition := kmsg.NewFetchResponseTopicPartition()
		partition.Partition, partition.HighWatermark, partition.LastStableOffset = int32(p), logEnd, logEnd
		partition.RecordBatches = bad
		if asked.Topics[0].Partitions[0].FetchOffset >= offset {
			partition.RecordBatches = bad[at:]
		}
		t.Partitions = append(t.Partitions, partition)
		res.Topics = append(res.Topics, t)
		return res, nil, true
	})
	return func() { close(healed) }
}

// TestConsumerSkipsAbortedTransactionsAndControlRecords: at once, and when the
// range is built again after a kill.
func TestConsumerSkipsAbortedTransactionsAndControlRecords(t *testing.T) {
	t.Parallel()
	engine := ownEngine(t)
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("Killed_%v", killed), func(t *testing.T) {
			db := engine.Database(t)
			t.Parallel()
			r := newRig(t, db)
			r.transactions(40)
			r.consume(r.onesIn(0, 5, "last")...) // control records alone are not hurried
			if killed {
				r.crash("BetweenInsertAndLedger")
			}
			r.start()
			r.requireExact()
			r.transactions(10)
			r.consume(r.onesIn(0, 5, "very-last")...)
			r.requireExact()
			if n := r.number(`SELECT sum(skipped) FROM ingest_batches`); n < 50+25*3 {
				t.Errorf("%d offsets are skipped, want at least the 50 control records and the records of 25 aborted transactions", n)
			}
		})
	}
}

// transactions produces n of them with three records each into partition 0,
// every second aborted, with records outside of any between them.
func (r *rig) transactions(n int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitAtMost)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.broker.Addr), kgo.DefaultProduceTopic(r.broker.Topics.Consumption),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("test"), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	for i := range n {
		if err := client.BeginTransaction(); err != nil {
			r.t.Fatal(err)
		}
		for _, s := range r.onesIn(0, 3, fmt.Sprintf("tx-%d-%d", n, i/2)) { // a committed one repeats the aborted one before it
			if err := client.ProduceSync(ctx, &kgo.Record{Partition: 0, Key: s.key, Value: s.value}).FirstErr(); err != nil {
				r.t.Fatal(err)
			}
		}
		if i%5 == 0 { // within the transaction of the other producer
			r.consume(r.onesIn(0, 2, fmt.Sprintf("plain-%d-%d", n, i))...)
		}
		if err := client.EndTransaction(ctx, kgo.TransactionEndTry(i%2 == 1)); err != nil {
			r.t.Fatal(err)
		}
	}
}
