package consumers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// watchIntents holds every commit of every test to invariant 2: at most 512
// bytes of metadata that say at most four ranges from the offset on.
func (r *rig) watchIntents() {
	r.broker.Cluster.ControlKey(offsetCommitKey, func(req kmsg.Request) (kmsg.Response, error, bool) {
		for _, topic := range req.(*kmsg.OffsetCommitRequest).Topics {
			for _, p := range topic.Partitions {
				metadata := ""
				if p.Metadata != nil {
					metadata = *p.Metadata
				}
				in, err := parseIntent(metadata, p.Offset)
				if err != nil && !strings.HasPrefix(metadata, foreign) || len(metadata) > maxMetadataBytes || len(in.pending) > maxPending {
					r.t.Errorf("commit of %s/%d at %d with metadata %q: %v", topic.Topic, p.Partition, p.Offset, metadata, err)
				}
			}
		}
		return nil, nil, false
	})
}

// foreign begins metadata that a test commits in another program's name.
const foreign = "foreign "

// requests counts the requests of an API from now on.
func (r *rig) requests(key kmsg.Key) *atomic.Int64 {
	var n atomic.Int64
	r.broker.Cluster.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		n.Add(1)
		return nil, nil, false
	})
	return &n
}

// committed is the group's offset and metadata of a partition.
func (r *rig) committed(topic string, p int) (int64, string) {
	r.t.Helper()
	res, err := r.client.OffsetFetch(context.Background(), &kafka.OffsetFetchRequest{GroupID: "drawdown", Topics: map[string][]int{topic: {p}}})
	if err == nil {
		err = errors.Join(res.Error, res.Topics[topic][0].Error)
	}
	if err != nil {
		r.t.Fatalf("cannot fetch the offset of %s/%d: %v", topic, p, err)
	}
	return res.Topics[topic][0].CommittedOffset, res.Topics[topic][0].Metadata
}

// commit sets the offset of a group without members, as an operator's tool
// does, once the group has none.
func (r *rig) commit(topic string, p int, offset int64, metadata string) {
	r.t.Helper()
	r.wait("the group has no members", func() bool {
		res, err := r.client.OffsetCommit(context.Background(), &kafka.OffsetCommitRequest{
			GroupID: "drawdown", GenerationID: -1,
			Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: p, Offset: offset, Metadata: metadata}}},
		})
		return err == nil && res.Topics[topic][0].Error == nil
	})
}

// deleteGroup deletes the group with its offsets, once it has no members.
func (r *rig) deleteGroup() {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.broker.Addr))
	if err != nil {
		r.t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{"drawdown"}
	r.wait("the group has no members and is deleted", func() bool {
		res, err := req.RequestWith(context.Background(), client)
		return err == nil && res.Groups[0].ErrorCode == 0
	})
}

// send produces records of one topic, each to its partition.
func (r *rig) send(topic string, records ...sent) {
	r.t.Helper()
	byPartition := make(map[int][]sent)
	for _, s := range records {
		byPartition[s.partition] = append(byPartition[s.partition], s)
	}
	for partition, all := range byPartition {
		for part := range slices.Chunk(all, 500) {
			batch := make([]kafka.Record, len(part))
			for i, s := range part {
				batch[i] = kafka.Record{Time: s.time, Key: kafka.NewBytes(s.key), Value: kafka.NewBytes(s.value), Headers: s.headers}
			}
			res, err := r.client.Produce(context.Background(), &kafka.ProduceRequest{
				Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(batch...), Compression: kafka.Lz4,
			})
			if err == nil {
				err = res.Error
			}
			if err != nil {
				r.t.Fatalf("cannot produce to %s/%d: %v", topic, partition, err)
			}
		}
	}
}

// consume sends consumption.
func (r *rig) consume(records ...sent) {
	r.t.Helper()
	r.send(r.broker.Topics.Consumption, records...)
}

// deleteRecords moves the start of a log, as retention does.
func (r *rig) deleteRecords(topic string, p int, before int64) {
	r.t.Helper()
	if err := r.broker.Cluster.DeleteRecords(topic, int32(p), before); err != nil {
		r.t.Fatal(err)
	}
}

// remakeTopic deletes a topic and makes it again. What it held is kept for the
// oracle, as the log of the epoch.
func (r *rig) remakeTopic(topic string) {
	r.t.Helper()
	r.past = append(r.past, r.readLog())
	r.log.Close()
	r.log = nil
	if err := r.broker.Cluster.DeleteTopic(topic); err != nil {
		r.t.Fatal(err)
	}
	if err := r.broker.Cluster.CreateTopic(topic, int32(r.parts), nil); err != nil {
		r.t.Fatal(err)
	}
}
