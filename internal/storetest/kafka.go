package storetest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/drawdown/drawdown/deploy/embedded"
	"github.com/drawdown/drawdown/deploy/embedded/ghosts"
	"github.com/drawdown/drawdown/schemas"
)

// defaultPartitions is what the embedded broker has.
const defaultPartitions = 4

// KafkaOptions describe the topics of a test.
type KafkaOptions struct {
	Partitions int // of each topic; 0: 4
	// Advertise returns what the broker tells clients to connect to, given where
	// it listens: a proxy's address. nil: where it listens. NewApacheKafka alone.
	Advertise func(listen string) string
}

// Broker is a Kafka with fresh topics.
type Broker struct {
	Addr   string
	Topics schemas.Topics
	// Cluster has the control hooks; nil where the broker is another process.
	Cluster *kfake.Cluster
}

// Kafka starts a broker in this process, in memory, with the topics of the
// default names. It ends with the test.
func Kafka(t testing.TB, o KafkaOptions) *Broker {
	t.Helper()
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		// Tests of lost sessions must not wait for 6 s each.
		kfake.GroupMinSessionTimeout(100*time.Millisecond),
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": "16777216", "log.retention.ms": "-1"}),
	)
	if err != nil {
		t.Fatalf("cannot start a broker: %v", err)
	}
	t.Cleanup(cluster.Close)
	addr := cluster.ListenAddrs()[0]
	if err := ghosts.Evict(t.Context(), cluster, addr, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatalf("cannot watch the groups of a broker: %v", err)
	}
	b := &Broker{Addr: addr, Topics: schemas.DefaultTopics(), Cluster: cluster}
	b.createTopics(t, o)
	return b
}

func (b *Broker) createTopics(t testing.TB, o KafkaOptions) {
	t.Helper()
	if o.Partitions == 0 {
		o.Partitions = defaultPartitions
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	err := schemas.CreateTopics(ctx, b.Client(t), schemas.CreateTopicsConfig{
		Topics: b.Topics, Partitions: o.Partitions, ReplicationFactor: 1, ConsumptionRetention: -1,
	})
	if err != nil {
		t.Fatalf("cannot create topics: %v", err)
	}
}

// Client returns a client whose connections close when the test ends.
func (b *Broker) Client(t testing.TB) *kafka.Client {
	t.Helper()
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(b.Addr), Transport: transport}
}

// KafkaProcess is the embedded broker as a process of a test's own. Address and
// data stay the same over restarts.
type KafkaProcess struct {
	Broker
	t      testing.TB
	store  embedded.Kafka
	server server
	remove func() error
}

// ProcessOptions describe a broker process.
type ProcessOptions struct {
	KafkaOptions
	// Dir keeps the data; "" is a temporary one that goes with the test.
	Dir string
	// AutoRestart starts a dead broker again, as `drawdown up` does.
	AutoRestart bool
	// Log gets state changes and the broker's output (at debug); nil discards.
	Log io.Writer
}

// NewKafka starts the embedded broker as a process, with topics, and stops it at
// cleanup.
func NewKafka(t testing.TB, o ProcessOptions) *KafkaProcess {
	t.Helper()
	var err error
	k := &KafkaProcess{t: t, remove: func() error { return nil }}
	if o.Dir == "" {
		if o.Dir, k.remove, err = scratchDir(); err != nil {
			t.Fatal(err)
		}
	}
	if k.Addr, err = freeAddr(); err != nil {
		t.Fatal(errors.Join(err, k.remove()))
	}
	k.Topics = schemas.DefaultTopics()
	k.store = embedded.Kafka{Binary: Helper(t), Dir: o.Dir, Listen: k.Addr, Once: !o.AutoRestart, Log: logTo(o.Log)}
	k.server.start = k.store.Start
	if err := k.server.up(); err != nil {
		t.Fatal(errors.Join(err, k.remove()))
	}
	t.Cleanup(func() {
		if err := errors.Join(k.server.down(), k.remove()); err != nil {
			t.Errorf("cannot stop the broker: %v", err)
		}
	})
	k.createTopics(t, o.KafkaOptions)
	return k
}

// PID is the process id of the child, 0 while none runs.
func (k *KafkaProcess) PID() int { return k.server.process.PID() }

// Health is nil while the broker answers.
func (k *KafkaProcess) Health() error { return k.server.process.Health() }

// LogDir is the folder of the broker's files.
func (k *KafkaProcess) LogDir() string { return filepath.Join(k.store.Dir, "log") }

// Kill ends the broker with SIGKILL and returns when the process is gone.
func (k *KafkaProcess) Kill() { k.server.kill() }

// Stop ends the broker cleanly.
func (k *KafkaProcess) Stop() {
	if err := k.server.down(); err != nil {
		k.t.Fatalf("cannot stop the broker: %v", err)
	}
}

// Restart starts the broker again on its address and data, after stopping it if
// it runs.
func (k *KafkaProcess) Restart() {
	k.Stop()
	if err := k.server.up(); err != nil {
		k.t.Fatalf("cannot restart the broker: %v", err)
	}
}
