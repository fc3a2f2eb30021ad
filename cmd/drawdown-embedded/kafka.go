package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/drawdown/drawdown/deploy/embedded"
	"github.com/drawdown/drawdown/deploy/embedded/ghosts"
)

// maxMessageBytes is Kafka's limit of one record batch here; the topics set the
// same.
const maxMessageBytes = "16777216"

type kafkaCmd struct {
	stopFlags
	Dir        string `required:"" help:"Folder of the log; created if missing."`
	Listen     string `default:"127.0.0.1:9092" help:"Address to listen on; clients are told the same."`
	Partitions int    `default:"4" help:"Partitions of a topic that is created without a number."`
}

func (k *kafkaCmd) Run() error {
	host, port, err := net.SplitHostPort(k.Listen)
	if err != nil {
		return usageError{fmt.Errorf("--listen: %w", err)}
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		return usageError{fmt.Errorf("--listen %s: clients are told this address, so it must be one they can reach", k.Listen)}
	}
	if k.Partitions < 1 {
		return usageError{fmt.Errorf("--partitions %d: must be at least 1", k.Partitions)}
	}
	ctx, cancel := k.untilStopped(os.Stdin)
	defer cancel()
	if err := os.MkdirAll(k.Dir, 0o700); err != nil {
		return fmt.Errorf("cannot create the log folder: %w", err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := embedded.MendKafkaLogs(k.Dir, log); err != nil {
		return err
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			return net.Listen(network, net.JoinHostPort(host, port))
		}),
		kfake.ClusterID("drawdown-embedded"),
		kfake.DefaultNumPartitions(k.Partitions),
		kfake.DataDir(k.Dir),
		kfake.SyncWrites(), // an acknowledged record is on disk
		kfake.WithLogger(brokerLog{log}),
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes": maxMessageBytes,
			// The record timestamp decides what is old, and an import's are
			// years old: nothing goes by time unless its topic says so.
			"log.retention.ms": "-1",
			// Offsets carry the intents of batches; they must not expire
			// while the program is switched off over a holiday.
			"offsets.retention.minutes": "5256000", // ten years
		}),
	)
	if err != nil {
		return fmt.Errorf("cannot start the broker on %s: %w", k.Listen, err)
	}
	defer cluster.Close()
	if err := ghosts.Evict(ctx, cluster, k.Listen, log); err != nil {
		return fmt.Errorf("cannot watch the groups of the broker on %s: %w", k.Listen, err)
	}
	<-ctx.Done()
	return nil
}

// brokerLog passes on what the broker warns of.
type brokerLog struct{ log *slog.Logger }

func (b brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	message := strings.TrimSpace(fmt.Sprintf(format, args...))
	switch level {
	case kfake.LogLevelError:
		b.log.Error(message)
	case kfake.LogLevelWarn:
		b.log.Warn(message)
	case kfake.LogLevelNone, kfake.LogLevelInfo, kfake.LogLevelDebug:
	}
}
