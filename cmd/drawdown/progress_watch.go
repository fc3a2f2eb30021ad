package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/queryapi"
)

// progressWatch compares what is counted with where the logs end, for a
// process that does not consume: health is progress, and an API whose figures
// stand still is not well, whoever it is that stopped.
type progressWatch struct {
	network
	epoch uint32
	after time.Duration // how long a position may stand still while records wait
	env   *env

	mu    sync.Mutex
	stuck []string // partitions, with what is wrong
}

// standing is a position and since when it is there with records waiting.
type standing struct {
	next  int64
	since time.Time
}

func newProgressWatch(n network, epoch uint32, after time.Duration, e *env) *progressWatch {
	return &progressWatch{network: n, epoch: epoch, after: after, env: e}
}

// check fails while a partition stands still. What of Kafka or ClickHouse does
// not answer is not said here: nothing is known of progress then.
func (w *progressWatch) check() queryapi.Check {
	return queryapi.Check{Name: "progress", Live: func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.stuck) > 0 {
			return errors.New(strings.Join(w.stuck, "; "))
		}
		return nil
	}}
}

// run looks until ctx ends, several times within the time that is allowed.
func (w *progressWatch) run(ctx context.Context) error {
	if len(w.brokers) == 0 || w.after <= 0 {
		return nil
	}
	conn, err := clickhouse.Open(w.options())
	if err != nil {
		return fmt.Errorf("cannot configure the connection to ClickHouse: %w", err)
	}
	defer func() { _ = conn.Close() }() // only SELECTs went over it
	transport := &kafka.Transport{ClientID: "drawdown-progress"}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(w.brokers...), Transport: transport, Timeout: 10 * time.Second}
	known := map[string]standing{}
	ticker := time.NewTicker(w.after / 6)
	defer ticker.Stop()
	for {
		if err := w.look(ctx, conn, client, known); err != nil && ctx.Err() == nil {
			w.env.Log.DebugContext(ctx, "cannot compare what is counted with the logs", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (w *progressWatch) look(ctx context.Context, conn driver.Conn, client *kafka.Client, known map[string]standing) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	asked := map[string][]kafka.OffsetRequest{}
	for _, topic := range w.topics.Inputs() {
		for id := range w.partitions {
			asked[topic] = append(asked[topic], kafka.LastOffsetOf(id))
		}
	}
	ends, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: asked})
	if err != nil {
		return fmt.Errorf("cannot ask for the ends of the topics: %w", err)
	}
	positions, err := w.positions(ctx, conn)
	if err != nil {
		return err
	}
	now := w.env.Now()
	var stuck []string
	for topic, parts := range ends.Topics {
		for _, p := range parts {
			name := fmt.Sprintf("%s/%d", topic, p.Partition)
			at, next := known[name], positions[name]
			if p.Error != nil {
				continue
			}
			if at.since.IsZero() || at.next != next || next >= p.LastOffset {
				known[name] = standing{next: next, since: now}
				continue
			}
			if still := now.Sub(at.since); still >= w.after {
				stuck = append(stuck, fmt.Sprintf("partition %s has %d records waiting and has not moved for %s", name, p.LastOffset-next, still.Round(time.Second)))
			}
		}
	}
	slices.Sort(stuck)
	w.mu.Lock()
	defer w.mu.Unlock()
	if (len(w.stuck) == 0) != (len(stuck) == 0) {
		w.env.Log.Warn("progress of counting changed", "stuck", len(stuck))
	}
	w.stuck = stuck
	return nil
}

// positions returns the first offset that is not counted, by topic/partition.
func (w *progressWatch) positions(ctx context.Context, conn driver.Conn) (positions map[string]int64, err error) {
	rows, err := conn.Query(ctx, "SELECT topic, kpart, max(next_offset) FROM ingest_progress WHERE epoch = ? GROUP BY topic, kpart", w.epoch)
	if err != nil {
		return nil, fmt.Errorf("cannot read the progress of the consumers: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	positions = map[string]int64{}
	for rows.Next() {
		var (
			topic string
			id    uint16
			next  uint64
		)
		if err := rows.Scan(&topic, &id, &next); err != nil {
			return nil, fmt.Errorf("cannot read the progress of the consumers: %w", err)
		}
		positions[fmt.Sprintf("%s/%d", topic, id)] = int64(next)
	}
	return positions, rows.Err()
}
