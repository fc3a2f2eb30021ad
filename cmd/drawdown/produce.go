package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/drawdown/drawdown/schemas"
)

const (
	// producerBatchBytes is the size at which a batch goes out before the
	// linger ends: about 1,800 events, 64 KB and more once compressed.
	producerBatchBytes = 512 << 10
	// producerMemory bounds all batches of a producer: with very many
	// partitions each gets smaller ones.
	producerMemory = 96 << 20
	// producerLinger is how long a record waits for others.
	producerLinger = 25 * time.Millisecond
	// laneQueue batches wait behind the one that is being sent.
	laneQueue = 1
	// produceTimeout is kafka-go's and Java's request timeout.
	produceTimeout = 30 * time.Second
	// retryFirst and retryMost bound the pause between two attempts.
	retryFirst = 100 * time.Millisecond
	retryMost  = 3 * time.Second
	// startTimeout is how long a command looks for a broker before it says
	// that there is none. Once events flow it waits for as long as it takes.
	startTimeout = 15 * time.Second
	// stopGrace is what an interrupted command grants what is already under way.
	stopGrace = 5 * time.Second
)

// producer sends records to the three input topics: to the partition of their
// workspace, in order, acknowledged by all replicas, at least once. A broker
// that is away is waited for until the caller's context ends. Send is for one
// goroutine.
type producer struct {
	sender
	topics     schemas.Topics
	partitions int
	clusterID  string

	lanes  map[schemas.Topic][]*lane
	group  *errgroup.Group
	cancel context.CancelFunc
	failed <-chan struct{} // closed when the first lane gave up, or after cancel

	next   atomic.Int64 // sequence number of the next record
	acked  atomic.Int64 // records acknowledged
	closed bool
}

// lane is one partition of one topic.
type lane struct {
	topic     string
	partition int
	limit     int
	queue     chan *recordBatch

	mu   sync.Mutex   // held while a full lane is waited for
	open *recordBatch // being filled; nil: none

	unackedMu sync.Mutex // never held while waiting
	unacked   []int64    // first sequence numbers of the batches not acknowledged, oldest first
}

func (l *lane) opened(first int64) {
	l.unackedMu.Lock()
	defer l.unackedMu.Unlock()
	l.unacked = append(l.unacked, first)
}

func (l *lane) acknowledged() {
	l.unackedMu.Lock()
	defer l.unackedMu.Unlock()
	l.unacked = l.unacked[1:]
}

// oldest returns the first record that is not acknowledged, or false.
func (l *lane) oldest() (int64, bool) {
	l.unackedMu.Lock()
	defer l.unackedMu.Unlock()
	if len(l.unacked) == 0 {
		return 0, false
	}
	return l.unacked[0], true
}

// newProducer looks up the topics and returns a producer for them. It fails if
// no broker answers within 15 s, if a topic does not exist, or if its partition
// count is not the configured one. Close ends it.
func newProducer(ctx context.Context, flags kafkaFlags, log *slog.Logger) (*producer, error) {
	p := &producer{sender: newSender(flags.Brokers, flags.topics(), log), topics: flags.topics(), lanes: map[schemas.Topic][]*lane{}}
	if err := p.lookUp(ctx, flags); err != nil {
		p.transport.CloseIdleConnections()
		return nil, err
	}
	// Interrupting a command must not lose what it already reported as sent:
	// Close decides how long to wait for it.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	group, running := errgroup.WithContext(running)
	p.group, p.cancel, p.failed = group, cancel, running.Done()
	roles := []schemas.Topic{schemas.ConsumptionTopic, schemas.LedgerTopic, schemas.CampaignsTopic}
	limit := min(producerBatchBytes, producerMemory/(len(roles)*p.partitions*(laneQueue+2)))
	for _, role := range roles {
		for partition := range p.partitions {
			l := &lane{topic: p.topics.Name(role), partition: partition, limit: limit, queue: make(chan *recordBatch, laneQueue)}
			p.lanes[role] = append(p.lanes[role], l)
			group.Go(func() error { return p.deliver(running, l) })
		}
	}
	group.Go(func() error { p.linger(running); return nil })
	return p, nil
}

// lookUp reads the partition count of the topics and checks it.
func (p *producer) lookUp(ctx context.Context, flags kafkaFlags) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		metadata, err := p.client.Metadata(ctx, &kafka.MetadataRequest{Topics: p.topics.Inputs()})
		if err == nil {
			p.clusterID = metadata.ClusterID
			p.partitions, err = checkTopics(metadata.Topics, p.topics.Inputs(), flags.Partitions)
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cannot reach Kafka at %s: %w; is 'drawdown up' running, or is --kafka-brokers missing?",
				strings.Join(flags.Brokers, ","), err)
		case <-time.After(retryFirst):
		}
	}
}

// checkTopics returns the partition count that all of the topics called names
// have, which must be the configured one unless that is 0.
func checkTopics(topics []kafka.Topic, names []string, configured int) (int, error) {
	if len(topics) < len(names) {
		return 0, fmt.Errorf("cannot find the topics %s: %w", strings.Join(names, ", "), kafka.UnknownTopicOrPartition)
	}
	partitions := configured
	for _, topic := range topics {
		switch {
		case topic.Error != nil:
			return 0, fmt.Errorf("cannot use topic %s: %w; 'drawdown up' and 'drawdown migrate' create it", topic.Name, topic.Error)
		case partitions == 0:
			partitions = len(topic.Partitions)
		case len(topic.Partitions) != partitions:
			return 0, fmt.Errorf("cannot use topic %s: it has %d partitions instead of %d, so its workspaces would be counted in the wrong ones; set --partitions or recreate the topic",
				topic.Name, len(topic.Partitions), partitions)
		}
	}
	return partitions, nil
}

// Send queues one record for the partition of key, the workspace id. It
// blocks while that partition is three batches behind, and fails when ctx ends
// or the broker has refused a batch for good. The slices are copied.
func (p *producer) Send(ctx context.Context, role schemas.Topic, key, value []byte, headers ...schemas.Header) error {
	l := p.lanes[role][schemas.Partition(key, p.partitions)]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = &recordBatch{records: make([]byte, 0, l.limit+l.limit/16), first: p.next.Load(), opened: time.Now()}
		l.opened(l.open.first)
	}
	l.open.add(key, value, headers)
	p.next.Add(1)
	if len(l.open.records) < l.limit {
		return nil
	}
	return p.enqueueOpen(ctx, l)
}

// enqueueOpen hands over the batch that is being filled; it stays open if that
// fails. l.mu is held.
func (p *producer) enqueueOpen(ctx context.Context, l *lane) error {
	if err := p.enqueue(ctx, l, l.open); err != nil {
		return err
	}
	l.open = nil
	return nil
}

func (p *producer) enqueue(ctx context.Context, l *lane, b *recordBatch) error {
	select {
	case l.queue <- b:
		return nil
	case <-p.failed:
		return errors.New("cannot send: the producer has stopped")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// linger sends batches that have waited long enough. A lane whose lock is held
// is full and needs no reminder.
func (p *producer) linger(ctx context.Context) {
	ticker := time.NewTicker(producerLinger / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, lanes := range p.lanes {
			for _, l := range lanes {
				if !l.mu.TryLock() {
					continue
				}
				if l.open != nil && time.Since(l.open.opened) >= producerLinger {
					select {
					case l.queue <- l.open:
						l.open = nil
					default:
					}
				}
				l.mu.Unlock()
			}
		}
	}
}

// deliver sends the batches of one lane, one at a time so that their order
// holds, each until it is acknowledged.
func (p *producer) deliver(ctx context.Context, l *lane) error {
	var encoder *batchEncoder // made at the first batch: most lanes of small commands stay idle
	for {
		var b *recordBatch
		select {
		case <-ctx.Done():
			return nil
		case b = <-l.queue:
		}
		if b.flushed != nil {
			close(b.flushed)
			continue
		}
		if encoder == nil {
			var err error
			if encoder, err = newBatchEncoder(); err != nil {
				return err
			}
		}
		if err := p.deliverBatch(ctx, l, b, encoder); err != nil {
			return err
		}
		l.acknowledged()
		p.acked.Add(int64(b.count))
	}
}

// deliverBatch returns nil once the batch is acknowledged, and an error if the
// broker will never take it or ctx has ended.
func (p *producer) deliverBatch(ctx context.Context, l *lane, b *recordBatch, encoder *batchEncoder) error {
	encoded, err := encoder.encode(b)
	if err != nil {
		return err
	}
	err = p.send(ctx, l.topic, l.partition, encoded, func() { stamp(encoded, time.Now()) })
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("cannot send %d records to %s/%d: %w", b.count, l.topic, l.partition, err)
	}
	return err
}

// AckedPrefix returns n such that the first n records given to Send are all
// acknowledged.
func (p *producer) AckedPrefix() int64 {
	prefix := p.next.Load()
	for _, lanes := range p.lanes {
		for _, l := range lanes {
			if oldest, ok := l.oldest(); ok {
				prefix = min(prefix, oldest)
			}
		}
	}
	return prefix
}

// Acked returns how many records are acknowledged.
func (p *producer) Acked() int64 { return p.acked.Load() }

// Flush returns once everything given to Send is acknowledged. It fails when
// ctx ends before that or a batch was refused.
func (p *producer) Flush(ctx context.Context) error {
	var markers []chan struct{}
	for _, lanes := range p.lanes {
		for _, l := range lanes {
			marker, err := p.flushLane(ctx, l)
			if err != nil {
				return err
			}
			if marker != nil {
				markers = append(markers, marker)
			}
		}
	}
	for _, marker := range markers {
		select {
		case <-marker:
		case <-p.failed:
			return errors.New("cannot flush: the producer has stopped")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (p *producer) flushLane(ctx context.Context, l *lane) (chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.oldest(); !ok {
		return nil, nil
	}
	if l.open != nil {
		if err := p.enqueueOpen(ctx, l); err != nil {
			return nil, err
		}
	}
	marker := make(chan struct{})
	return marker, p.enqueue(ctx, l, &recordBatch{flushed: marker})
}

// Close delivers what is under way and ends the producer. An interrupted ctx
// still grants 5 s for it. The error says how many records have no
// acknowledgement; they may have arrived all the same.
func (p *producer) Close(ctx context.Context) error {
	if p.closed {
		return nil
	}
	p.closed = true
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
	}
	flushed := p.Flush(ctx)
	p.cancel()
	refused := p.group.Wait()
	if errors.Is(refused, context.Canceled) {
		refused = nil // by the line above
	}
	p.transport.CloseIdleConnections()
	if missing := p.next.Load() - p.acked.Load(); missing > 0 {
		return fmt.Errorf("%d of %d records were not acknowledged: %w", missing, p.next.Load(), errors.Join(refused, flushed))
	}
	return errors.Join(refused, flushed)
}
