package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/consumers"
	"github.com/drawdown/drawdown/deploy/embedded"
	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// countingFlags decide what is counted and how; every process of an
// installation must have the same.
type countingFlags struct {
	Group     string            `name:"kafka-group" env:"DRAWDOWN_KAFKA_GROUP" default:"drawdown" help:"Consumer group, whose offsets carry what is about to be inserted."`
	Epoch     uint32            `name:"epoch" env:"DRAWDOWN_EPOCH" default:"1" help:"Generation of the topics; raise it when they are made anew or repartitioned."`
	EventsTTL schemas.EventsTTL `name:"events-ttl" env:"DRAWDOWN_EVENTS_TTL" default:"13mo" help:"How long raw events are kept, such as 13mo or 400d; 0 keeps them for ever and lets imports go back without limit."`
}

func (f countingFlags) limits() schemas.Limits {
	limits := schemas.DefaultLimits()
	limits.ImportLateness = f.EventsTTL.ImportLateness()
	return limits
}

// apiFlags tune the API.
type apiFlags struct {
	RateLimit int `name:"rate-limit" env:"DRAWDOWN_RATE_LIMIT" default:"6000" help:"Requests a minute that one person or key may send; 0: any number. The token of this installation is not limited."`

	probeEvery time.Duration // 0: never
}

// consumerFlags tune a consumer.
type consumerFlags struct {
	Linger         time.Duration `name:"linger" env:"DRAWDOWN_LINGER" default:"500ms" help:"How long a batch waits for more events."`
	SessionTimeout time.Duration `name:"session-timeout" env:"DRAWDOWN_SESSION_TIMEOUT" default:"30s" help:"After which a silent consumer loses its partitions."`
	StuckAfter     time.Duration `name:"stuck-after" env:"DRAWDOWN_STUCK_AFTER" default:"60s" help:"How long a partition with records waiting may stand still before that is unhealthy."`
	FilterMemory   int           `name:"filter-memory-mb" env:"DRAWDOWN_FILTER_MEMORY_MB" default:"192" help:"Memory for ids of the deduplicating filter, in MiB."`
	BatchMemory    int           `name:"batch-memory-mb" env:"DRAWDOWN_BATCH_MEMORY_MB" default:"192" help:"Memory for events that are being built into batches or written, in MiB; more makes larger batches, which ClickHouse merges less often."`
	Resume         bool          `name:"resume-from-ledger" help:"Go on at the end of the ledger where the committed offset contradicts it, after verifying what stands past it."`
	AcceptRules    bool          `name:"accept-rules" help:"Finish batches that were begun under other rules (limits, decoder, partition count)."`
}

// network is what a pipeline process connects to.
type network struct {
	brokers    []string
	topics     schemas.Topics
	partitions int
	clickhouse clickhouseAccess
	database   string
}

func (n network) options() *clickhouse.Options {
	return &clickhouse.Options{
		Addr:        strings.Split(n.clickhouse.Addr, ","),
		Auth:        clickhouse.Auth{Database: n.database, Username: n.clickhouse.User, Password: n.clickhouse.Password},
		DialContext: embedded.Dialer(), DialTimeout: 5 * time.Second, ReadTimeout: time.Minute,
		MaxOpenConns: 32, MaxIdleConns: 16,
	}
}

// storeHTTP is how ClickHouse is reached for exports.
func (n network) storeHTTP() queryapi.StoreHTTP {
	address := n.clickhouse.HTTP
	if address != "" && !strings.Contains(address, "://") {
		address = "http://" + address
	}
	return queryapi.StoreHTTP{URL: address, User: n.clickhouse.User, Password: n.clickhouse.Password, Database: n.database}
}

// chAuthenticationFailed is a wrong user or password;
// src/Common/ErrorCodes.cpp of ClickHouse.
const chAuthenticationFailed = 516

// asWrongLogin marks an error that another user or password would cure.
func asWrongLogin(err error) error {
	var refused *clickhouse.Exception
	if errors.As(err, &refused) && refused.Code == chAuthenticationFailed {
		return usageError{fmt.Errorf("%w; set the user and password that ClickHouse knows", err)}
	}
	return err
}

// settleWithin is how long a topic may have another partition count than it is
// going to have: one that somebody else is making, or has just altered, reaches
// the brokers one after the other.
const settleWithin = 5 * time.Second

// retry repeats a step until it succeeds, ctx ends, or the configuration turns
// out to be wrong, with one line when it first fails and one every half minute.
func retry(ctx context.Context, log *slog.Logger, what string, step func(context.Context) error) error {
	wait, said, miscounted := 100*time.Millisecond, time.Time{}, time.Time{}
	for {
		err := step(ctx)
		var usage usageError
		if err == nil || ctx.Err() != nil || errors.As(err, &usage) {
			return err
		}
		// Waiting cures neither this nor a partition count that stays.
		if wrong := asWrongLogin(err); errors.As(wrong, &usage) {
			return usageError{fmt.Errorf("cannot %s: %w", what, wrong)}
		}
		switch {
		case !errors.Is(err, schemas.ErrPartitionCount):
			miscounted = time.Time{}
		case miscounted.IsZero():
			miscounted = time.Now()
		case time.Since(miscounted) > settleWithin:
			return usageError{fmt.Errorf("cannot %s: %w", what, err)}
		}
		if time.Since(said) > 30*time.Second {
			said = time.Now()
			log.Warn("cannot "+what+", trying again", "error", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// prepareTopics creates the topics where they are missing and returns their
// partition count: the configured one, or what they have, or what fits.
func prepareTopics(ctx context.Context, log *slog.Logger, n network, missing int, retention time.Duration) (int, error) {
	transport := &kafka.Transport{MetadataTTL: time.Second}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(n.brokers...), Transport: transport, Timeout: 10 * time.Second}
	partitions := n.partitions
	err := retry(ctx, log, "prepare the topics in Kafka at "+strings.Join(n.brokers, ","), func(ctx context.Context) error {
		if n.partitions == 0 {
			metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: n.topics.Inputs()})
			if err != nil {
				return fmt.Errorf("cannot ask for the topics: %w", err)
			}
			partitions = missing
			for _, t := range metadata.Topics {
				if t.Error == nil && len(t.Partitions) > 0 {
					partitions = len(t.Partitions)
				}
			}
		}
		return schemas.CreateTopics(ctx, client, schemas.CreateTopicsConfig{
			Topics: n.topics, Partitions: partitions, ConsumptionRetention: retention,
		})
	})
	return partitions, err
}

// migrate brings the database up to date, waiting for ClickHouse.
func migrate(ctx context.Context, log *slog.Logger, n network, cluster string, ttl schemas.EventsTTL) error {
	return retry(ctx, log, "migrate the database in ClickHouse at "+n.clickhouse.Addr, func(ctx context.Context) error { return migrateOnce(ctx, log, n, cluster, ttl) })
}

// logIn waits until ClickHouse answers, so that a consumer with a wrong password
// ends before it takes partitions from others.
func logIn(ctx context.Context, log *slog.Logger, n network) error {
	conn, err := clickhouse.Open(n.options())
	if err != nil {
		return fmt.Errorf("cannot configure the connection to ClickHouse: %w", err)
	}
	defer func() { _ = conn.Close() }()
	return retry(ctx, log, "log in to ClickHouse at "+n.clickhouse.Addr, conn.Ping)
}

func migrateOnce(ctx context.Context, log *slog.Logger, n network, cluster string, ttl schemas.EventsTTL) (err error) {
	options := n.options()
	options.Auth.Database = "default"
	db := clickhouse.OpenDB(options)
	defer func() { err = errors.Join(err, db.Close()) }()
	return asWrongLogin(schemas.Migrate(ctx, db, schemas.MigrateOptions{Database: n.database, Cluster: cluster, EventsTTL: ttl, Log: log}))
}

// besidesConsumer is what a consuming process takes beside filter and batches,
// in MiB: fetched answers (2 MiB of each partition, twice), code, stacks, what
// waits to be collected.
const besidesConsumer = 96

// besidesAPI is what the API adds in the same process, in MiB: answers kept,
// and some large ones being made.
const besidesAPI = 128

// boundMemory keeps the garbage collector from letting the heap double what
// filter and batches hold; a GOMEMLIMIT in the environment goes before.
func (f consumerFlags) boundMemory(besides int) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(f.FilterMemory+f.BatchMemory+besides) << 20)
	}
}

// newConsumer wires the consumer of a process.
func newConsumer(n network, counting countingFlags, tuning consumerFlags, log *slog.Logger, registry prometheus.Registerer) (*consumers.Consumer, error) {
	return consumers.New(consumers.Config{
		Brokers: n.brokers, Group: counting.Group, Topics: n.topics, Partitions: n.partitions, Epoch: counting.Epoch,
		ClickHouse: n.options(), Limits: counting.limits(), EventsTTL: counting.EventsTTL,
		ResumeFromLedger: tuning.Resume, AcceptRules: tuning.AcceptRules,
		Linger: tuning.Linger, SessionTimeout: tuning.SessionTimeout, StuckAfter: tuning.StuckAfter,
		FilterBytes: tuning.FilterMemory << 20, BatchBytes: tuning.BatchMemory << 20,
		Log: log, Registerer: registry,
	})
}

const (
	// answerCacheBytes holds the dashboards of some thousand workspaces: an
	// answer is 1 to 100 kB.
	answerCacheBytes = 32 << 20
	// progressAge is what a live dashboard does not notice, and lets any number
	// of viewers ask ClickHouse ten times a second.
	progressAge = 100 * time.Millisecond
)

// newServer wires the API of a process; without a secret alert rules have no
// webhooks.
func newServer(n network, counting countingFlags, api apiFlags, who believed, secret []byte, e *env, registry prometheus.Registerer) (*queryapi.Server, func() error, error) {
	conn, err := clickhouse.Open(n.options())
	if err != nil {
		return nil, nil, fmt.Errorf("cannot configure the connection to ClickHouse: %w", err)
	}
	var producer queryapi.Producer
	closeProducer := func() {}
	if len(n.brokers) == 0 {
		e.Log.Warn("no --kafka-brokers: nothing can be written by HTTP, such requests are answered writes_unavailable")
	} else {
		p := newAPIProducer(n, e.Log)
		producer, closeProducer = p, p.Close
	}
	var devIssuer http.Handler
	if who.devIssuer != nil {
		devIssuer = who.devIssuer.Handler()
	}
	server, err := queryapi.New(queryapi.Config{
		Issuer: who.issuer, SignIn: who.signIn, DevIssuer: devIssuer,
		Producer: producer, Limits: counting.limits(), WebhookSecret: secret,
		ClickHouse: conn, StoreHTTP: n.storeHTTP(), Token: who.token, Partitions: n.partitions, Epoch: counting.Epoch, Topics: n.topics,
		EventsTTL: counting.EventsTTL, Now: e.Now, Log: e.Log, Registerer: registry,
		RateLimit: api.RateLimit, CacheBytes: answerCacheBytes, ProgressAge: progressAge, ProbeEvery: api.probeEvery,
	})
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return server, func() error { closeProducer(); return conn.Close() }, nil
}

func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// listen opens a port; a taken one is an error that names the flag.
func listen(ctx context.Context, addr, flag string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w; choose another address with %s", addr, err, flag)
	}
	return l, nil
}

// devAccess is what `drawdown up` writes into <data>/dev.json.
type devAccess struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

const devFile = "dev.json"

// devToken returns the token in dev.json, or a new one.
func devToken(dataDir string) (string, error) {
	access, err := readDevAccess(filepath.Join(dataDir, devFile))
	if errors.Is(err, fs.ErrNotExist) {
		return rand.Text(), nil
	}
	return access.Token, err
}

func readDevAccess(path string) (access devAccess, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return access, fmt.Errorf("cannot read the token: %w", err)
	}
	if err := json.Unmarshal(text, &access); err != nil || access.Token == "" {
		return access, fmt.Errorf("cannot read the token from %s: it is no {\"url\",\"token\"}; remove the file to get a new one", path)
	}
	return access, nil
}

// writeSecret replaces a file as a whole, readable by its owner alone.
func writeSecret(path string, content any) error {
	text, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("cannot encode %s: %w", path, err)
	}
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if err := os.WriteFile(temporary, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}
