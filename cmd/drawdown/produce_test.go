package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// testProducer returns a producer for a broker and its log.
func testProducer(t *testing.T, broker *storetest.Broker) (*producer, *safeBuffer) {
	t.Helper()
	log := &safeBuffer{}
	p, err := newProducer(t.Context(), testKafkaFlags(broker), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil && !t.Failed() {
			t.Error(err)
		}
	})
	return p, log
}

func testKafkaFlags(broker *storetest.Broker) kafkaFlags {
	return kafkaFlags{Brokers: []string{broker.Addr}, topicFlags: topicFlags{
		ConsumptionTopic: broker.Topics.Consumption, LedgerTopic: broker.Topics.Ledger,
		CampaignsTopic: broker.Topics.Campaigns, AlertsTopic: broker.Topics.Alerts,
	}}
}

// safeBuffer is a buffer that a log writes while a test reads.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// answerProduce makes the broker answer produce requests with a code for as
// long as refuse says so.
func answerProduce(broker *storetest.Broker, code int16, refuse func() bool) {
	broker.Cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		broker.Cluster.KeepControl()
		if !refuse() {
			return nil, nil, false
		}
		produce := request.(*kmsg.ProduceRequest)
		response := produce.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range produce.Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic = topic.Topic
			for _, partition := range topic.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode = partition.Partition, code
				answer.Partitions = append(answer.Partitions, p)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
}

func TestProducerKeepsOrderAndRoutesByWorkspace(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{Partitions: 5})
	p, _ := testProducer(t, broker)
	const records, workspaces = 20_000, 37
	headers := []schemas.Header{{Key: "a", Value: []byte("1")}, {Key: "empty", Value: nil}}
	for i := range records {
		key := fmt.Appendf(nil, "ws-%d", i%workspaces)
		if err := p.Send(t.Context(), schemas.ConsumptionTopic, key, fmt.Appendf(nil, "%d", i), headers...); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.AckedPrefix() != records || p.Acked() != records {
		t.Errorf("acknowledged %d, prefix %d, want %d", p.Acked(), p.AckedPrefix(), records)
	}
	last, found := map[string]int{}, 0
	for _, record := range readTopic(t, broker, broker.Topics.Consumption) {
		var i int
		if _, err := fmt.Sscan(string(record.Value), &i); err != nil {
			t.Fatal(err)
		}
		key := string(record.Key)
		if previous, ok := last[key]; ok && i != previous+workspaces {
			t.Fatalf("%s: %d follows %d", key, i, previous)
		}
		last[key] = i
		if want := schemas.Partition(record.Key, 5); record.partition != want {
			t.Fatalf("%s is in partition %d instead of %d", key, record.partition, want)
		}
		if len(record.Headers) != 2 || record.Headers[0].Key != "a" || string(record.Headers[0].Value) != "1" || record.Headers[1].Key != "empty" {
			t.Fatalf("headers became %v", record.Headers)
		}
		if record.Timestamp == 0 {
			t.Fatal("a record has no timestamp")
		}
		found++
	}
	if found != records {
		t.Errorf("%d records arrived of %d", found, records)
	}
}

func TestProducerWaitsForABrokerThatRefusesForNow(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	p, log := testProducer(t, broker)
	var refused atomic.Int64
	answerProduce(broker, kerr.NotEnoughReplicas.Code, func() bool { return refused.Add(1) <= 3 })
	if err := p.Send(t.Context(), schemas.LedgerTopic, []byte("ws"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(readTopic(t, broker, broker.Topics.Ledger)); n != 1 {
		t.Errorf("%d records arrived, want 1", n)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, log.String())
	}
	mustContain(t, log.String(), "kafka answers again")
}

func TestProducerReportsWhatABrokerRefusesForGood(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	p, err := newProducer(t.Context(), testKafkaFlags(broker), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	answerProduce(broker, kerr.TopicAuthorizationFailed.Code, func() bool { return true })
	if err := p.Send(t.Context(), schemas.LedgerTopic, []byte("ws"), []byte("x")); err != nil {
		t.Fatal(err)
	}
	err = p.Close(t.Context())
	if err == nil {
		t.Fatal("closing reports success")
	}
	mustContain(t, err.Error(), "1 of 1 records were not acknowledged", "credits.ledger/")
}

func TestProducerRefusesAnotherPartitionCount(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{Partitions: 3})
	flags := testKafkaFlags(broker)
	flags.Partitions = 4
	_, err := newProducer(t.Context(), flags, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("four partitions are accepted where there are three")
	}
	mustContain(t, err.Error(), "3 partitions instead of 4")
}

func BenchmarkProducer(b *testing.B) {
	broker := storetest.Kafka(b, storetest.KafkaOptions{})
	p, err := newProducer(b.Context(), testKafkaFlags(broker), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	sim, err := newSimulator(testSimOptions(b.N))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		record := sim.Live(testNow)
		b.SetBytes(int64(len(record.Value)))
		if err := p.Send(b.Context(), record.Topic, record.Key, record.Value); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(p.Acked())/b.Elapsed().Seconds(), "events/s")
}
