package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

func testAPIProducer(t *testing.T, broker *storetest.Broker, partitions int) *apiProducer {
	t.Helper()
	p := newAPIProducer(network{brokers: []string{broker.Addr}, topics: broker.Topics, partitions: partitions}, slog.New(slog.DiscardHandler))
	t.Cleanup(p.Close)
	return p
}

// written makes records that take several batches.
func written(n int) []schemas.Record {
	records := make([]schemas.Record, n)
	for i := range records {
		records[i] = schemas.Record{
			Key: []byte("ws_a"), Timestamp: 1_700_000_000_123, Value: fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", 40_000)),
			Headers: []schemas.Header{{Key: "ce_id", Value: fmt.Append(nil, i)}},
		}
	}
	return records
}

func TestAPIProducerAppendsAndReadsBack(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	p := testAPIProducer(t, broker, 4)
	want := written(50)
	// Others' records are in the log as well, but not in what is read from 3 on.
	before := slices.Clone(want[:3])
	for _, records := range [][]schemas.Record{before, want} {
		if err := errors.Join(p.Produce(t.Context(), schemas.LedgerTopic, records)...); err != nil {
			t.Fatal(err)
		}
	}
	for _, from := range []int64{3, 53, 60} {
		i := int(from) - 3
		err := p.Tail(t.Context(), schemas.LedgerTopic, "ws_a", from, func(rec *schemas.Record) {
			if i >= len(want) || string(rec.Key) != "ws_a" || rec.Timestamp != want[i].Timestamp || string(rec.Value) != string(want[i].Value) ||
				len(rec.Headers) != 1 || string(rec.Headers[0].Value) != fmt.Sprint(i) {
				t.Errorf("record %d: %.20s", i, rec.Value)
			}
			i++
		})
		if err != nil || i != max(len(want), int(from)-3) {
			t.Errorf("from %d: read up to %d: %v", from, i, err)
		}
	}
}

func TestAPIProducerSaysWhichRecordsWereRefused(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	var batches atomic.Int64
	answerProduce(broker, kerr.MessageTooLarge.Code, func() bool { return batches.Add(1) == 2 })
	errs := testAPIProducer(t, broker, 4).Produce(t.Context(), schemas.LedgerTopic, written(50))
	refused := 0
	for i, err := range errs {
		if (err != nil) != (i >= 14 && i < 28) { // a batch ends past 512 KiB
			t.Errorf("record %d: %v", i, err)
		}
		if err != nil {
			refused++
			if !errors.Is(err, kafka.MessageSizeTooLarge) {
				t.Errorf("%v", err)
			}
		}
	}
	if refused != 14 {
		t.Errorf("%d refused", refused)
	}
}

func TestAPIProducerTriesAsLongAsItMay(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	var tries atomic.Int64
	answerProduce(broker, kerr.NotEnoughReplicas.Code, func() bool { return tries.Add(1) != 3 })
	p := testAPIProducer(t, broker, 4)
	if err := errors.Join(p.Produce(t.Context(), schemas.LedgerTopic, written(1))...); err != nil {
		t.Errorf("the third try was taken: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for i, err := range p.Produce(ctx, schemas.LedgerTopic, written(30)) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("record %d: %v", i, err)
		}
	}
}

func TestAPIProducerRefusesAnotherPartitionCount(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	p := testAPIProducer(t, broker, 3)
	if err := errors.Join(p.Produce(t.Context(), schemas.LedgerTopic, written(1))...); err == nil || !strings.Contains(err.Error(), "4 partitions instead of 3") {
		t.Error(err)
	}
}
