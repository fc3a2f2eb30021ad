package consumers

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	logPart   = 2 // the partition these tests write to and read
	bigAnswer = 8 << 20
)

// rawFetch returns the partition as the broker answers it, error code included.
func (b *brokerUnderTest) rawFetch(t *testing.T, offset int64, isolation int8, maxBytes int32) fetchResponsePartition {
	t.Helper()
	answer, err := b.transport.RoundTrip(brokerContext(t), b.client.Addr, &fetchRequest{
		ReplicaID: -1, MaxWaitTime: 100, MinBytes: 1, MaxBytes: 64 << 20, IsolationLevel: isolation, SessionEpoch: -1,
		Topics: []fetchTopic{{Topic: b.Topics.Consumption, Partitions: []fetchPartition{{
			Partition: logPart, CurrentLeaderEpoch: -1, FetchOffset: offset, LogStartOffset: -1, PartitionMaxBytes: maxBytes,
		}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer.(*fetchResponse).Topics[0].Partitions[0]
}

const (
	readUncommitted = 0
	readCommitted   = 1
)

func (b *brokerUnderTest) kgo(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(b.Addr), kgo.DefaultProduceTopic(b.Topics.Consumption), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// send writes each value as a record batch of its own.
func send(t *testing.T, c *kgo.Client, values ...string) {
	t.Helper()
	for _, v := range values {
		rec := &kgo.Record{Partition: logPart, Key: []byte("ws_acme"), Value: []byte(v)}
		if err := c.ProduceSync(brokerContext(t), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// attributes lists those of every record batch, by base offset.
func attributes(raw []byte) map[int64]uint16 {
	all := make(map[int64]uint16)
	for len(raw) >= batchHeaderBytes {
		size := int(binary.BigEndian.Uint32(raw[batchLengthAt:])) + batchOverhead
		if size > len(raw) {
			break
		}
		all[int64(binary.BigEndian.Uint64(raw))] = binary.BigEndian.Uint16(raw[batchAttributesAt:])
		raw = raw[size:]
	}
	return all
}

// read walks the partition in answers of at most maxBytes and returns the offsets of the data records
// and the offset after the last.
func (b *brokerUnderTest) read(t *testing.T, from int64, maxBytes int32) (data []int64, next int64) {
	t.Helper()
	r := recordReader{until: math.MaxInt64}
	for next = from; ; {
		p := b.rawFetch(t, next, readCommitted, maxBytes)
		after, err := r.each(&fetched{raw: p.RecordSet.bytes, aborted: p.AbortedTransactions}, next, func(rec *record) error {
			data = append(data, rec.offset)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if after == next {
			return data, next
		}
		next = after
	}
}

func TestBrokerShowsControlBatchesAndListsAbortedTransactions(t *testing.T) {
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		plain := b.kgo(t)
		tx := b.kgo(t, kgo.TransactionalID("tx-of-"+b.Topics.Consumption))
		transaction := func(end kgo.TransactionEndTry, next int64, values ...string) {
			t.Helper()
			if err := tx.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			send(t, tx, values...)
			if err := tx.EndTransaction(brokerContext(t), end); err != nil {
				t.Fatal(err)
			}
			b.awaitStable(t, next)
		}
		transaction(kgo.TryCommit, 4, "0", "1", "2")     // 3 is its end marker
		transaction(kgo.TryAbort, 9, "4", "5", "6", "7") // 8 is its end marker
		send(t, plain, "9", "10")                        // not transactional
		if err := tx.BeginTransaction(); err != nil {    // stays open
			t.Fatal(err)
		}
		send(t, tx, "11")
		send(t, plain, "12")
		b.wantOpenTransactionHidden(t)

		if err := tx.EndTransaction(brokerContext(t), kgo.TryAbort); err != nil { // 13 is its end marker
			t.Fatal(err)
		}
		b.awaitStable(t, 14)

		p := b.rawFetch(t, 0, readCommitted, bigAnswer)
		const transactional, control = 1 << 4, 1 << 5
		for offset, want := range map[int64]uint16{0: transactional, 3: transactional | control, 4: transactional, 8: transactional | control, 9: 0} {
			if got := attributes(p.RecordSet.bytes)[offset]; got != want {
				t.Errorf("attributes at offset %d: %#x, want %#x", offset, got, want)
			}
		}
		if n := len(p.AbortedTransactions); n != 2 || p.AbortedTransactions[0].FirstOffset != 4 || p.AbortedTransactions[1].FirstOffset != 11 {
			t.Errorf("aborted transactions %+v, want those of offsets 4 and 11", p.AbortedTransactions)
		}
		if p := b.rawFetch(t, 0, readUncommitted, bigAnswer); len(p.AbortedTransactions) != 0 {
			t.Errorf("read_uncommitted lists %+v, want nothing", p.AbortedTransactions)
		}
		committed := []int64{0, 1, 2, 9, 10, 12}
		for _, maxBytes := range []int32{bigAnswer, 200, 1} { // one batch comes however small the limit (KIP-74)
			if data, next := b.read(t, 0, maxBytes); !slices.Equal(data, committed) || next != 14 {
				t.Errorf("answers of %d bytes: records %v up to %d, want %v up to 14", maxBytes, data, next, committed)
			}
		}
		if data, next := b.read(t, 6, bigAnswer); !slices.Equal(data, []int64{9, 10, 12}) || next != 14 {
			t.Errorf("from inside an aborted transaction: records %v up to %d", data, next)
		}
	})
}

// awaitStable waits for the end markers: Apache Kafka answers the end of a transaction before it has
// written them.
func (b *brokerUnderTest) awaitStable(t *testing.T, lastStable int64) {
	t.Helper()
	storetest.Wait(t, brokerWait, "the transactions' end markers are written", func() (bool, error) {
		return b.rawFetch(t, 0, readCommitted, bigAnswer).LastStableOffset == lastStable, nil
	})
}

// wantOpenTransactionHidden checks that read_committed ends where the open transaction begins: what
// other producers wrote behind it waits too, and the high watermark is past it.
func (b *brokerUnderTest) wantOpenTransactionHidden(t *testing.T) {
	t.Helper()
	p := b.rawFetch(t, 11, readCommitted, bigAnswer)
	if len(p.RecordSet.bytes) != 0 || p.HighWatermark != 13 || p.LastStableOffset != 11 {
		t.Errorf("behind an open transaction: %d bytes, high watermark %d, last stable %d; want 0, 13, 11",
			len(p.RecordSet.bytes), p.HighWatermark, p.LastStableOffset)
	}
	if p := b.rawFetch(t, 11, readUncommitted, bigAnswer); len(attributes(p.RecordSet.bytes)) != 2 {
		t.Errorf("read_uncommitted sees %v, want the batches at 11 and 12", attributes(p.RecordSet.bytes))
	}
}

func TestBrokerAnswersOutOfRangeOutsideTheLog(t *testing.T) {
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		c := b.kgo(t)
		send(t, c, "0", "1", "2", "3", "4", "5")
		b.wantFetch(t, 6, 0, 0) // the end: an empty answer
		b.wantFetch(t, 7, kafka.OffsetOutOfRange, 0)
		b.deleteRecords(t, c, 4)
		b.wantFetch(t, 3, kafka.OffsetOutOfRange, 4)
		b.wantFetch(t, 4, 0, 4)

		// The answer of Apache Kafka names no offsets then; where the log starts is asked for.
		res, err := b.client.ListOffsets(brokerContext(t), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
			b.Topics.Consumption: {kafka.FirstOffsetOf(logPart), kafka.LastOffsetOf(logPart)},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if p := res.Topics[b.Topics.Consumption][0]; p.FirstOffset != 4 || p.LastOffset != 6 || p.Error != nil {
			t.Errorf("the log is %d to %d (%v), want 4 to 6", p.FirstOffset, p.LastOffset, p.Error)
		}
	})
}

func (b *brokerUnderTest) wantFetch(t *testing.T, offset int64, code kafka.Error, logStart int64) {
	t.Helper()
	p := b.rawFetch(t, offset, readCommitted, bigAnswer)
	if kafka.Error(p.ErrorCode) != code {
		t.Errorf("fetch at %d: error %d, want %d", offset, p.ErrorCode, code)
	}
	end := int64(6)
	if b.apache && code != 0 {
		logStart, end = -1, -1
	}
	if p.LogStartOffset != logStart || p.HighWatermark != end {
		t.Errorf("fetch at %d: the log is %d to %d, want %d to %d", offset, p.LogStartOffset, p.HighWatermark, logStart, end)
	}
}

// deleteRecords moves the start of the log, as retention does.
func (b *brokerUnderTest) deleteRecords(t *testing.T, c *kgo.Client, before int64) {
	t.Helper()
	partition := kmsg.NewDeleteRecordsRequestTopicPartition()
	partition.Partition, partition.Offset = logPart, before
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic, topic.Partitions = b.Topics.Consumption, []kmsg.DeleteRecordsRequestTopicPartition{partition}
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis, req.Topics = 10_000, []kmsg.DeleteRecordsRequestTopic{topic}
	res, err := req.RequestWith(brokerContext(t), c)
	if err != nil {
		t.Fatal(err)
	}
	if code := res.Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatalf("cannot delete records: %v", kafka.Error(code))
	}
}

func TestBrokerRefusesWhatTheTopicDoesNotTake(t *testing.T) {
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		send(t, b.kgo(t), "first") // franz-go repeats what a topic so new answers with errors 3 and 6
		now := time.Now()
		for _, c := range []struct {
			what string
			at   time.Time
			size int
			want error
		}{
			{"over the largest value that is decoded", now, 1<<20 + 1, nil}, // Kafka's own default refuses it
			{"under 16 MiB", now, 15 << 20, nil},
			{"over 16 MiB", now, 17 << 20, kafka.MessageSizeTooLarge},
			{"old", now.Add(-400 * 24 * time.Hour), 10, nil},
			{"less than an hour ahead", now.Add(50 * time.Minute), 10, nil},
			{"two hours ahead", now.Add(2 * time.Hour), 10, b.differs(nil, kafka.Error(32))}, // INVALID_TIMESTAMP, KIP-937
		} {
			res, err := b.client.Produce(brokerContext(t), &kafka.ProduceRequest{
				Topic: b.Topics.Consumption, Partition: logPart, RequiredAcks: kafka.RequireAll,
				Records: kafka.NewRecordReader(kafka.Record{Time: c.at, Value: kafka.NewBytes(bytes.Repeat([]byte{'x'}, c.size))}),
			})
			if err == nil {
				err = res.Error
			}
			wantError(t, c.what, err, c.want)
		}
	})
}

func TestBrokerForgetsTheOffsetsOfADeletedTopic(t *testing.T) {
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		wantError(t, "commit", b.commit(t, noMembership, 7, "done"), nil)
		b.wantCommitted(t, 7, "done")
		res, err := b.client.DeleteTopics(brokerContext(t), &kafka.DeleteTopicsRequest{Topics: []string{b.Topics.Consumption}})
		if err = errors.Join(err, res.Errors[b.Topics.Consumption]); err != nil {
			t.Fatal(err)
		}
		storetest.Wait(t, brokerWait, "the offset is forgotten", func() (bool, error) {
			offset, _ := b.committed(t)
			return offset == -1, nil
		})
	})
}

func TestBrokerGivesWhatEveryProducerCompressed(t *testing.T) {
	codecs := []struct {
		kgo   kgo.CompressionCodec
		kafka kafka.Compression
	}{ // by Kafka's number
		{kgo.NoCompression(), 0}, {kgo.GzipCompression(), kafka.Gzip}, {kgo.SnappyCompression(), kafka.Snappy},
		{kgo.Lz4Compression(), kafka.Lz4}, {kgo.ZstdCompression(), kafka.Zstd},
	}
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		const n = 500 // one record batch of each producer
		var want, got []string
		for codec, c := range codecs {
			want = append(want, b.sendWithFranz(t, c.kgo, codec, n)...)
			want = append(want, b.sendWithKafkaGo(t, c.kafka, codec, n)...)
		}
		p := b.rawFetch(t, 0, readCommitted, bigAnswer)
		for offset, attribute := range attributes(p.RecordSet.bytes) {
			if codec := offset / (2 * n); int64(attribute&7) != codec {
				t.Errorf("the batch at %d has codec %d, want %d", offset, attribute&7, codec)
			}
		}
		r := recordReader{until: math.MaxInt64}
		_, err := r.each(&fetched{raw: p.RecordSet.bytes}, 0, func(rec *record) error {
			got = append(got, string(rec.key)+" "+string(rec.value)+" "+string(rec.headers[0].Value))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d records differ from the %d produced", len(got), len(want))
		}
	})
}

func (b *brokerUnderTest) sendWithFranz(t *testing.T, compression kgo.CompressionCodec, codec, n int) (sent []string) {
	t.Helper()
	c := b.kgo(t, kgo.ProducerBatchCompression(compression), kgo.ProducerLinger(50*time.Millisecond))
	records := make([]*kgo.Record, n)
	for i := range records {
		value := fmt.Sprintf("franz-%d-%d", codec, i)
		records[i] = &kgo.Record{
			Partition: logPart, Key: []byte("ws_acme"), Value: []byte(value),
			Headers: []kgo.RecordHeader{{Key: "number", Value: []byte(value)}},
		}
		sent = append(sent, "ws_acme "+value+" "+value)
	}
	if err := c.ProduceSync(brokerContext(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return sent
}

func (b *brokerUnderTest) sendWithKafkaGo(t *testing.T, compression kafka.Compression, codec, n int) (sent []string) {
	t.Helper()
	w := &kafka.Writer{
		Addr: b.client.Addr, Topic: b.Topics.Consumption, Transport: b.transport, Compression: compression,
		Balancer: kafka.BalancerFunc(func(kafka.Message, ...int) int { return logPart }), BatchSize: n,
	}
	messages := make([]kafka.Message, n)
	for i := range messages {
		value := fmt.Sprintf("kafka-go-%d-%d", codec, i)
		messages[i] = kafka.Message{
			Key: []byte("ws_acme"), Value: []byte(value), Headers: []kafka.Header{{Key: "number", Value: []byte(value)}},
		}
		sent = append(sent, "ws_acme "+value+" "+value)
	}
	if err := errors.Join(w.WriteMessages(brokerContext(t), messages...), w.Close()); err != nil {
		t.Fatal(err)
	}
	return sent
}

func TestApacheKafkaKeepsRecordsAndIntentsOverAKill(t *testing.T) {
	t.Parallel()
	a := storetest.NewApacheKafka(t, storetest.KafkaOptions{})
	b := newBrokerUnderTest(t, &a.Broker, true)
	send(t, b.kgo(t), "0", "1", "2")
	group := b.member(t, testSession)
	old := under(mustNext(t, group))
	wantError(t, "the intent", b.commit(t, old, 3, "intent"), nil)

	a.Kill()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := b.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: b.group, GenerationID: old.generation, MemberID: old.member,
		Topics: map[string][]kafka.OffsetCommit{b.Topics.Consumption: {{Partition: commitPart, Offset: 4}}},
	})
	if err == nil {
		t.Error("a commit was answered by a broker that is down")
	}
	began := time.Now()
	a.Restart()
	b.transport.CloseIdleConnections() // to the broker that was killed; kafka-go would use them once more
	t.Logf("restarted after a kill in %s", time.Since(began))

	// The generation may have outlived the broker, or its session may have ended in the meantime.
	verdict := b.commit(t, old, 3, "again")
	t.Logf("a commit under the generation from before the kill: %v", verdict)
	metadata := "again"
	if verdict != nil {
		wantError(t, "a commit under the generation from before the kill", verdict, kafka.UnknownMemberId)
		metadata = "intent"
	}
	b.wantCommitted(t, 3, metadata)
	if data, next := b.read(t, 0, bigAnswer); !slices.Equal(data, []int64{0, 1, 2}) || next != 3 {
		t.Errorf("records %v up to %d after the kill, want 0, 1, 2", data, next)
	}

	// kafka-go has dropped its member id, and the group waits out the session of the old member unless
	// somebody takes it out.
	began = time.Now()
	_, err = b.client.LeaveGroup(brokerContext(t), &kafka.LeaveGroupRequest{
		GroupID: b.group, Members: []kafka.LeaveGroupRequestMember{{ID: old.member}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if now := under(mustNext(t, group)); now.member == old.member {
		t.Error("the old member id lives on")
	}
	t.Logf("joined again in %s once the old member was taken out", time.Since(began))
	wantError(t, "a late commit", b.commit(t, old, 1, "late"), kafka.UnknownMemberId)
}
