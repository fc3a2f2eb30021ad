package consumers

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// kafka-go decodes record sets into one object per record and drops the list
// of aborted transactions. Its protocol package lets a process register its
// own types for an API, so the Fetch response here hands over the raw bytes of
// each partition and records.go reads them in place. The price: Client.Fetch
// of kafka-go does not work in this process. A test guards that the pinned
// version still takes the registration.
func init() { protocol.Register(&fetchRequest{}, &fetchResponse{}) }

// fetchRequest is version 4 to 11 of Kafka's Fetch API (KIP-98 for the
// isolation level). Field order is the wire order.
type fetchRequest struct {
	ReplicaID       int32                 `kafka:"min=v4,max=v11"`
	MaxWaitTime     int32                 `kafka:"min=v4,max=v11"`
	MinBytes        int32                 `kafka:"min=v4,max=v11"`
	MaxBytes        int32                 `kafka:"min=v4,max=v11"`
	IsolationLevel  int8                  `kafka:"min=v4,max=v11"`
	SessionID       int32                 `kafka:"min=v7,max=v11"`
	SessionEpoch    int32                 `kafka:"min=v7,max=v11"`
	Topics          []fetchTopic          `kafka:"min=v4,max=v11"`
	ForgottenTopics []fetchForgottenTopic `kafka:"min=v7,max=v11"`
	RackID          string                `kafka:"min=v11,max=v11"`
}

type fetchTopic struct {
	Topic      string           `kafka:"min=v4,max=v11"`
	Partitions []fetchPartition `kafka:"min=v4,max=v11"`
}

type fetchPartition struct {
	Partition          int32 `kafka:"min=v4,max=v11"`
	CurrentLeaderEpoch int32 `kafka:"min=v9,max=v11"`
	FetchOffset        int64 `kafka:"min=v4,max=v11"`
	LogStartOffset     int64 `kafka:"min=v5,max=v11"`
	PartitionMaxBytes  int32 `kafka:"min=v4,max=v11"`
}

type fetchForgottenTopic struct {
	Topic      string  `kafka:"min=v7,max=v11"`
	Partitions []int32 `kafka:"min=v7,max=v11"`
}

// ApiKey implements protocol.Message.
func (*fetchRequest) ApiKey() protocol.ApiKey { return protocol.Fetch }

// Broker sends the request to the leader of its one partition.
func (r *fetchRequest) Broker(cluster protocol.Cluster) (protocol.Broker, error) {
	topic, id := r.Topics[0].Topic, r.Topics[0].Partitions[0].Partition
	t, ok := cluster.Topics[topic]
	if !ok {
		return protocol.Broker{ID: -1}, fmt.Errorf("topic %s: %w", topic, kafka.UnknownTopicOrPartition)
	}
	p, ok := t.Partitions[id]
	if !ok {
		return protocol.Broker{ID: -1}, fmt.Errorf("topic %s partition %d: %w", topic, id, kafka.UnknownTopicOrPartition)
	}
	b, ok := cluster.Brokers[p.Leader]
	if !ok {
		return protocol.Broker{ID: -1}, fmt.Errorf("topic %s partition %d: %w", topic, id, kafka.LeaderNotAvailable)
	}
	return b, nil
}

type fetchResponse struct {
	ThrottleTimeMs int32                `kafka:"min=v4,max=v11"`
	ErrorCode      int16                `kafka:"min=v7,max=v11"`
	SessionID      int32                `kafka:"min=v7,max=v11"`
	Topics         []fetchResponseTopic `kafka:"min=v4,max=v11"`
}

// ApiKey implements protocol.Message.
func (*fetchResponse) ApiKey() protocol.ApiKey { return protocol.Fetch }

type fetchResponseTopic struct {
	Topic      string                   `kafka:"min=v4,max=v11"`
	Partitions []fetchResponsePartition `kafka:"min=v4,max=v11"`
}

type fetchResponsePartition struct {
	Partition            int32                `kafka:"min=v4,max=v11"`
	ErrorCode            int16                `kafka:"min=v4,max=v11"`
	HighWatermark        int64                `kafka:"min=v4,max=v11"`
	LastStableOffset     int64                `kafka:"min=v4,max=v11"`
	LogStartOffset       int64                `kafka:"min=v5,max=v11"`
	AbortedTransactions  []abortedTransaction `kafka:"min=v4,max=v11"`
	PreferredReadReplica int32                `kafka:"min=v11,max=v11"`
	RecordSet            rawRecordSet         `kafka:"min=v4,max=v11"`
}

type abortedTransaction struct {
	ProducerID  int64 `kafka:"min=v4,max=v11"`
	FirstOffset int64 `kafka:"min=v4,max=v11"`
}

// rawRecordSet holds the bytes of a partition's record batches as they came.
type rawRecordSet struct{ bytes []byte }

// fetchBuffers recycles record sets: one fetch is up to several megabytes.
var fetchBuffers = sync.Pool{New: func() any { return new([]byte) }}

// ReadFrom is called by kafka-go's decoder in place of its own record decoding.
func (s *rawRecordSet) ReadFrom(r io.Reader) (int64, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return 0, fmt.Errorf("cannot read the size of a record set: %w", err)
	}
	n := int32(binary.BigEndian.Uint32(size[:]))
	if n <= 0 {
		return 4, nil
	}
	buf := *fetchBuffers.Get().(*[]byte)
	if cap(buf) < int(n) {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		return 4, fmt.Errorf("cannot read a record set of %d bytes: %w", n, err)
	}
	s.bytes = buf
	return int64(n) + 4, nil
}

// fetched is one answered fetch of one partition.
type fetched struct {
	sentAt        time.Time
	highWatermark int64
	logStart      int64
	aborted       []abortedTransaction
	raw           []byte
}

// release gives the buffer back; nothing may alias it any more.
func (f *fetched) release() {
	if f.raw != nil {
		raw := f.raw
		f.raw = nil
		fetchBuffers.Put(&raw)
	}
}

// source reads partitions with isolation level read_committed.
type source struct {
	transport *kafka.Transport
	addr      net.Addr
	maxBytes  int32         // of one partition in one answer
	maxWait   time.Duration // how long the broker may hold an empty answer
	now       func() time.Time
}

// fetch asks for the records of a partition from offset on. It returns errors
// of the network and of the broker; kafka.OffsetOutOfRange is one of them.
func (s *source) fetch(ctx context.Context, topic string, partition int, offset int64, wait time.Duration) (*fetched, error) {
	sentAt := s.now()
	// A broker that does not answer within the wait plus this margin is
	// taken for gone and asked again on another connection.
	ctx, cancel := context.WithTimeout(ctx, wait+10*time.Second)
	defer cancel()
	answer, err := s.transport.RoundTrip(ctx, s.addr, &fetchRequest{
		ReplicaID:      -1,
		MaxWaitTime:    int32(wait / time.Millisecond),
		MinBytes:       1,
		MaxBytes:       2 * s.maxBytes,
		IsolationLevel: 1,
		SessionEpoch:   -1, // no fetch session (KIP-227)
		Topics: []fetchTopic{{Topic: topic, Partitions: []fetchPartition{{
			Partition: int32(partition), CurrentLeaderEpoch: -1, FetchOffset: offset,
			LogStartOffset: -1, PartitionMaxBytes: s.maxBytes,
		}}}},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot fetch %s/%d at offset %d: %w", topic, partition, offset, err)
	}
	res, ok := answer.(*fetchResponse)
	if !ok {
		return nil, fmt.Errorf("cannot fetch %s/%d: the answer is a %T", topic, partition, answer)
	}
	if res.ErrorCode != 0 {
		return nil, fmt.Errorf("cannot fetch %s/%d at offset %d: %w", topic, partition, offset, kafka.Error(res.ErrorCode))
	}
	if len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("cannot fetch %s/%d: the answer lacks the partition", topic, partition)
	}
	p := res.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return nil, fmt.Errorf("cannot fetch %s/%d at offset %d: %w", topic, partition, offset, kafka.Error(p.ErrorCode))
	}
	return &fetched{
		sentAt: sentAt, highWatermark: p.HighWatermark, logStart: p.LogStartOffset,
		aborted: p.AbortedTransactions, raw: p.RecordSet.bytes,
	}, nil
}
