package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/consumers"
	"github.com/drawdown/drawdown/schemas"
)

// apiProducer is the queryapi.Producer of a process: batches go out at once,
// each request's own, and the caller's context bounds every attempt.
type apiProducer struct {
	sender
	topics     schemas.Topics
	partitions int
	encoders   sync.Pool   // *batchEncoder
	checked    atomic.Bool // the topics have that many partitions
}

// newAPIProducer returns a producer that looks for the topics when it is first
// used, so that an API starts without Kafka. Close ends it.
func newAPIProducer(n network, log *slog.Logger) *apiProducer {
	return &apiProducer{sender: newSender(n.brokers, n.topics, log), topics: n.topics, partitions: n.partitions}
}

// Close lets go of idle connections.
func (p *apiProducer) Close() { p.transport.CloseIdleConnections() }

// ready fails if the topics do not have the partitions by which this process
// places workspaces.
func (p *apiProducer) ready(ctx context.Context) error {
	if p.checked.Load() {
		return nil
	}
	metadata, err := p.client.Metadata(ctx, &kafka.MetadataRequest{Topics: p.topics.Inputs()})
	if err != nil {
		return fmt.Errorf("cannot look up the topics: %w", err)
	}
	if _, err := checkTopics(metadata.Topics, p.topics.Inputs(), p.partitions); err != nil {
		return err
	}
	p.checked.Store(true)
	return nil
}

// Produce appends records of one workspace in batches; see queryapi.Producer.
func (p *apiProducer) Produce(ctx context.Context, role schemas.Topic, records []schemas.Record) []error {
	errs := make([]error, len(records))
	if len(records) == 0 {
		return errs
	}
	topic, partition := p.topics.Name(role), schemas.Partition(records[0].Key, p.partitions)
	err := p.ready(ctx)
	for first := 0; first < len(records); {
		b := &recordBatch{}
		next := first
		for next < len(records) && len(b.records) < producerBatchBytes {
			b.add(records[next].Key, records[next].Value, records[next].Headers)
			next++
		}
		// What comes behind a batch that was refused may still be taken; once
		// there is no more time nothing is.
		if err == nil || ctx.Err() == nil && p.checked.Load() {
			err = p.deliver(ctx, topic, partition, b, records[first].Timestamp)
		}
		for ; first < next; first++ {
			errs[first] = err
		}
	}
	return errs
}

func (p *apiProducer) deliver(ctx context.Context, topic string, partition int, b *recordBatch, at schemas.Millis) error {
	encoder, ok := p.encoders.Get().(*batchEncoder)
	if !ok {
		var err error
		if encoder, err = newBatchEncoder(); err != nil {
			return err
		}
	}
	encoded, err := encoder.encode(b)
	if err != nil {
		return err
	}
	// The instant by which the records were judged, at every attempt.
	stamp(encoded, at.Time())
	if err := p.send(ctx, topic, partition, encoded, func() {}); err != nil {
		// The encoder is not lent again: its bytes may still be on their way.
		return fmt.Errorf("cannot send %d records to %s/%d: %w", b.count, topic, partition, err)
	}
	p.encoders.Put(encoder)
	return nil
}

// tailMost bounds what is read behind the consumers: some 100,000 ledger
// entries.
const tailMost = 64 << 20

var errTailTooLong = errors.New("the consumers are too far behind")

// Tail reads what is behind an offset; see queryapi.Producer.
func (p *apiProducer) Tail(ctx context.Context, role schemas.Topic, workspaceID string, from int64, visit func(*schemas.Record)) error {
	if err := p.ready(ctx); err != nil {
		return err
	}
	topic, partition := p.topics.Name(role), schemas.Partition([]byte(workspaceID), p.partitions)
	listed, err := p.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)},
	}})
	if err != nil {
		return fmt.Errorf("cannot find the end of %s/%d: %w", topic, partition, err)
	}
	ends := listed.Topics[topic]
	if len(ends) != 1 {
		return fmt.Errorf("cannot find the end of %s/%d: the broker did not say", topic, partition)
	}
	if ends[0].Error != nil {
		return fmt.Errorf("cannot find the end of %s/%d: %w", topic, partition, ends[0].Error)
	}
	read := 0
	return consumers.ReadLog(ctx, p.transport, p.client.Addr, topic, partition, max(from, ends[0].FirstOffset), ends[0].LastOffset, func(rec *schemas.Record) error {
		if read += len(rec.Key) + len(rec.Value); read > tailMost {
			return errTailTooLong
		}
		visit(rec)
		return nil
	})
}
