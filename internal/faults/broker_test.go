package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/deploy/embedded"
	"github.com/drawdown/drawdown/deploy/embedded/ghosts"
	"github.com/drawdown/drawdown/internal/storetest"
)

// partitions of each topic: more than there are members, so that a rebalance
// moves some and leaves some.
const partitions = 4

// broker is a Kafka as a process, of either kind. Restart starts it again on its
// address and data after it was killed or stopped.
type broker interface {
	PID() int
	Kill()
	Stop()
	Restart()
}

// brokerVariable has the settings of a broker, as JSON: this binary, started
// again, is a kfake then, which refuses commits on demand.
const brokerVariable = "DRAWDOWN_TEST_FAULTS_BROKER"

type brokerSettings struct {
	Dir    string // of its log
	Listen string
	Told   string // what clients are told to connect to
}

// told is a listener that says it listens elsewhere.
type told struct {
	net.Listener
	addr net.Addr
}

func (l told) Addr() net.Addr { return l.addr }

// runBroker serves until standard input ends. A line on it is an errorCode and
// how many of the next commits are answered by it; code 0 is no answer at all.
func runBroker(text string) error {
	var s brokerSettings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("cannot read the settings: %w", err)
	}
	elsewhere, err := net.ResolveTCPAddr("tcp", s.Told)
	if err != nil {
		return fmt.Errorf("cannot read the address that is told: %w", err)
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("cannot create the log folder: %w", err)
	}
	if err := embedded.MendKafkaLogs(s.Dir, slog.Default()); err != nil {
		return err
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.DataDir(s.Dir), kfake.SyncWrites(),
		kfake.GroupMinSessionTimeout(100*time.Millisecond),
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": "16777216", "log.retention.ms": "-1"}),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			l, err := net.Listen(network, s.Listen)
			return told{l, elsewhere}, err
		}),
	)
	if err != nil {
		return fmt.Errorf("cannot start the broker: %w", err)
	}
	defer cluster.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := ghosts.Evict(ctx, cluster, s.Listen, slog.Default()); err != nil {
		return fmt.Errorf("cannot watch the groups: %w", err)
	}
	var code, left atomic.Int64
	cluster.ControlKey(kmsg.OffsetCommit.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if left.Add(-1) < 0 {
			return nil, nil, false
		}
		if code.Load() == 0 {
			return nil, errors.New("no answer"), true
		}
		return refuse(request.(*kmsg.OffsetCommitRequest), int16(code.Load())), nil, true
	})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var with, times int64
		if _, err := fmt.Sscan(lines.Text(), &with, &times); err != nil {
			return fmt.Errorf("cannot read %q: %w", lines.Text(), err)
		}
		code.Store(with)
		left.Store(times)
	}
	return nil
}

// refuse answers every partition of a commit with an error.
func refuse(request *kmsg.OffsetCommitRequest, code int16) kmsg.Response {
	response := request.ResponseKind().(*kmsg.OffsetCommitResponse)
	for _, t := range request.Topics {
		topic := kmsg.NewOffsetCommitResponseTopic()
		topic.Topic, topic.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			partition := kmsg.NewOffsetCommitResponseTopicPartition()
			partition.Partition, partition.ErrorCode = p.Partition, code
			topic.Partitions = append(topic.Partitions, partition)
		}
		response.Topics = append(response.Topics, topic)
	}
	return response
}

// kfakeProcess is that broker, seen from the test.
type kfakeProcess struct {
	t        testing.TB
	settings brokerSettings
	command  *storetest.Command
}

func startKfake(t testing.TB, s brokerSettings) *kfakeProcess {
	t.Helper()
	k := &kfakeProcess{t: t, settings: s}
	k.Restart()
	return k
}

func (k *kfakeProcess) PID() int { return k.command.PID() }
func (k *kfakeProcess) Kill()    { k.command.Kill() }

func (k *kfakeProcess) Stop() {
	_ = k.command.Stdin.Close() // fails only if it is gone already
	k.command.Wait()
}

func (k *kfakeProcess) Restart() {
	k.t.Helper()
	if k.command != nil && k.command.Running() {
		k.Stop()
	}
	program, err := os.Executable()
	if err != nil {
		k.t.Fatal(err)
	}
	settings, err := json.Marshal(k.settings)
	if err != nil {
		k.t.Fatal(err)
	}
	k.command = storetest.Start(k.t, storetest.CommandOptions{
		Path: program, Env: []string{brokerVariable + "=" + string(settings)}, Quiet: true, Stdin: true,
	})
	storetest.Wait(k.t, startWithin, "the broker answers", func() (bool, error) {
		if !k.command.Running() {
			return false, fmt.Errorf("it exited with %d: %s", k.command.Wait(), k.command.Stderr.Tail(2000))
		}
		return brokerAnswers(k.settings.Listen), nil
	})
}

// refuseCommits has the next commits answered by an error, or, with code 0, not
// at all.
func (k *kfakeProcess) refuseCommits(code, times int) {
	_, _ = fmt.Fprintln(k.command.Stdin, code, times) // fails only if it is gone already
}

func brokerAnswers(addr string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	client, done := straightClient(addr)
	defer done()
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{})
	return err == nil && len(metadata.Brokers) > 0
}

// straightClient reaches a broker past the proxy whose address it tells.
func straightClient(addr string) (client *kafka.Client, done func()) {
	transport := &kafka.Transport{MetadataTTL: time.Second, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}
	return &kafka.Client{Addr: kafka.TCP(addr), Transport: transport, Timeout: 10 * time.Second}, transport.CloseIdleConnections
}
