package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/drawdown/drawdown/queryapi"
)

// serveCmd is the API as a process of its own.
type serveCmd struct {
	dataFlags
	Brokers    []string `name:"kafka-brokers" env:"DRAWDOWN_KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Kafka brokers that what is written by HTTP goes to; without them nothing can be written."`
	Partitions int      `name:"partitions" env:"DRAWDOWN_PARTITIONS" default:"0" help:"Partitions of each topic; 0 takes what the topics have, or without --kafka-brokers what the consumers have recorded."`
	topicFlags
	clickhouseFlags
	clickhouseHTTPFlags
	countingFlags
	apiFlags
	webhookFlags
	accessFlags
	ProbeEvery time.Duration `name:"probe-every" env:"DRAWDOWN_PROBE_EVERY" default:"5s" help:"How often an event of the reserved workspace drawdown.probe, which uses no credits, measures how long an event takes to become an answer; 0: never."`
	StuckAfter time.Duration `name:"stuck-after" env:"DRAWDOWN_STUCK_AFTER" default:"60s" help:"How long a partition with records waiting may stand still before that is unhealthy."`
	TokenFile  string        `name:"token-file" env:"DRAWDOWN_TOKEN_FILE" type:"path" placeholder:"FILE" help:"File with the bearer token; by default the token in <data>/dev.json."`
	APIListen  string        `name:"api-listen" env:"DRAWDOWN_API_LISTEN" default:"127.0.0.1:8080" help:"Address of the API."`
	OpsListen  string        `name:"ops-listen" env:"DRAWDOWN_OPS_LISTEN" default:"127.0.0.1:8081" help:"Address of health and metrics."`
}

// Run serves until ctx ends.
func (c *serveCmd) Run(ctx context.Context, e *env) error {
	access, err := c.access(c.Data)
	if err != nil {
		return err
	}
	if c.HTTPAddr != "" {
		access.HTTP = c.HTTPAddr
	}
	token, err := c.token()
	if err != nil {
		return err
	}
	secret, err := c.secret(c.Data, false)
	if errors.Is(err, errNoSecret) {
		e.Log.Warn("alert rules cannot have webhooks, such requests are answered webhooks_unavailable", "error", err)
	} else if err != nil {
		return err
	}
	n := network{brokers: c.Brokers, topics: c.topics(), partitions: c.Partitions, clickhouse: access, database: c.Database}
	e.Log.Info("configuration", e.Settings...)
	api, err := listen(ctx, c.APIListen, "--api-listen")
	if err != nil {
		return err
	}
	who, err := c.resolve(token, c.Data, api.Addr(), false)
	if err != nil {
		_ = api.Close()
		return err
	}
	opsListener, err := listen(ctx, c.OpsListen, "--ops-listen")
	if err != nil {
		_ = api.Close()
		return err
	}
	registry := newRegistry()
	var started phase
	ops := queryapi.NewOps(registry, e.Log, started.check())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ops.Run(ctx, opsListener) })
	group.Go(func() error {
		defer func() { _ = api.Close() }()
		if n.partitions, err = placedBy(ctx, e, n, c.Epoch); err != nil {
			return ignoreCanceled(err)
		}
		c.probeEvery = c.ProbeEvery
		server, closeConn, err := newServer(n, c.countingFlags, c.apiFlags, who, secret, e, registry)
		if err != nil {
			return err
		}
		defer func() { _ = closeConn() }()
		watch := newProgressWatch(n, c.Epoch, c.StuckAfter, e)
		started.done(server.Check(), watch.check())
		group.Go(func() error { return watch.run(ctx) })
		_, _ = fmt.Fprintf(e.Stdout, "Drawdown serves http://%s\n", api.Addr())
		return server.Run(ctx, api)
	})
	return group.Wait()
}

// placedBy returns the partition count by which workspaces are placed, or a
// workspace's freshness would be another one's: the configured one, or what the
// topics have, or, where Kafka is not known or does not answer, what the
// consumers have recorded, which is less while they start.
func placedBy(ctx context.Context, e *env, n network, epoch uint32) (int, error) {
	if n.partitions == 0 && len(n.brokers) > 0 {
		var err error
		if n.partitions, err = topicPartitions(ctx, n); err != nil {
			e.Log.Warn("Kafka does not say how many partitions there are: what the consumers have recorded is taken; set --partitions to be sure", "error", err)
		}
	}
	return recordedPartitions(ctx, e, n, epoch)
}

// topicPartitions asks Kafka, once.
func topicPartitions(ctx context.Context, n network) (int, error) {
	transport := &kafka.Transport{MetadataTTL: time.Second}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(n.brokers...), Transport: transport, Timeout: startTimeout}
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: n.topics.Inputs()})
	if err != nil {
		return 0, fmt.Errorf("cannot ask for the topics: %w", err)
	}
	return checkTopics(metadata.Topics, n.topics.Inputs(), 0)
}

// recordedPartitions returns the configured partition count, which must not be
// less than the consumers have recorded, or that. It waits for ClickHouse and,
// if none is configured, for a first consumer.
func recordedPartitions(ctx context.Context, e *env, n network, epoch uint32) (int, error) {
	conn, err := clickhouse.Open(n.options())
	if err != nil {
		return 0, fmt.Errorf("cannot configure the connection to ClickHouse: %w", err)
	}
	defer func() { _ = conn.Close() }()
	partitions := n.partitions
	err = retry(ctx, e.Log, "read from ClickHouse at "+n.clickhouse.Addr+" how many partitions there are", func(ctx context.Context) error {
		var rows, last uint64
		if err := conn.QueryRow(ctx, "SELECT count(), toUInt64(max(kpart)) FROM ingest_progress WHERE epoch = ? AND watermark > 0", epoch).Scan(&rows, &last); err != nil {
			return fmt.Errorf("cannot read the progress of the consumers: %w", err)
		}
		switch found := int(last) + 1; {
		case rows == 0 && partitions == 0:
			return errors.New("no consumer has recorded any progress yet; start one, or set --partitions")
		case rows > 0 && partitions == 0:
			partitions = found
		case rows > 0 && partitions < found:
			return usageError{fmt.Errorf("--partitions is %d, but consumers have recorded %d: set what the topics have", partitions, found)}
		}
		return nil
	})
	return partitions, err
}

func (c *serveCmd) token() (string, error) {
	if c.TokenFile == "" {
		return devToken(c.Data)
	}
	text, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("cannot read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("cannot read the token: %s is empty", c.TokenFile)
	}
	return token, nil
}
