package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/drawdown/drawdown/aggregator"
	"github.com/drawdown/drawdown/aggregator/notify"
	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// aggregateCmd is one aggregator as a process of its own.
type aggregateCmd struct {
	dataFlags
	kafkaFlags
	clickhouseFlags
	countingFlags
	notifyFlags
	PublicURL string `name:"public-url" env:"DRAWDOWN_PUBLIC_URL" placeholder:"URL" help:"The page as browsers see it, such as https://credits.example.com, for links in alerts; without it they have none."`
	OpsListen string `name:"ops-listen" env:"DRAWDOWN_OPS_LISTEN" default:"127.0.0.1:8081" help:"Address of health and metrics; port 0 takes any."`
}

// webhookSecretVariable has no flag: a flag would be visible in the list of
// processes.
const webhookSecretVariable = "DRAWDOWN_WEBHOOK_SECRET"

// webhookFlags say what the secrets of webhooks are made of.
type webhookFlags struct {
	SecretFile string `name:"webhook-secret-file" env:"DRAWDOWN_WEBHOOK_SECRET_FILE" type:"path" placeholder:"FILE" help:"File with at least 32 bytes in base64 that the secrets of webhooks are made of, the same for every aggregator and every server; by default <data>/webhook.key. DRAWDOWN_WEBHOOK_SECRET is the other way to give it."`
}

// notifyFlags say how alerts are delivered.
type notifyFlags struct {
	webhookFlags
	AllowedNetworks []netip.Prefix `name:"webhook-allow" env:"DRAWDOWN_WEBHOOK_ALLOW" placeholder:"CIDR" help:"Networks that webhooks may be sent to although they are not public, separated by commas, such as 10.0.0.0/8."`
	AllowHTTP       bool           `name:"webhook-allow-http" env:"DRAWDOWN_WEBHOOK_ALLOW_HTTP" help:"Allow webhooks of http:// beside https://."`
}

// errNoSecret says that the file that is looked for by default is not there.
var errNoSecret = errors.New("there is no secret of webhooks")

// secret reads what webhooks' secrets are made of, or makes it in dataDir.
func (f webhookFlags) secret(dataDir string, mayMake bool) ([]byte, error) {
	text, path := os.Getenv(webhookSecretVariable), f.SecretFile
	if path == "" {
		path = filepath.Join(dataDir, "webhook.key")
	}
	if text == "" || f.SecretFile != "" {
		read, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && f.SecretFile == "" && mayMake:
			secret := make([]byte, schemas.MinWebhookMaster)
			_, _ = rand.Read(secret) // never fails, crypto/rand says
			return secret, writeSecret(path, base64.StdEncoding.EncodeToString(secret))
		case errors.Is(err, fs.ErrNotExist) && f.SecretFile == "":
			return nil, usageError{fmt.Errorf("%w: %w; make one with: openssl rand -base64 %d", errNoSecret, err, schemas.MinWebhookMaster)}
		case err != nil:
			return nil, usageError{fmt.Errorf("cannot read the secret of webhooks: %w; make one with: openssl rand -base64 %d", err, schemas.MinWebhookMaster)}
		}
		text = string(read)
	}
	secret, err := base64.StdEncoding.DecodeString(strings.Trim(strings.TrimSpace(text), `"`))
	if err != nil || len(secret) < schemas.MinWebhookMaster {
		return nil, usageError{fmt.Errorf("the secret of webhooks is not %d bytes or more in base64; make one with: openssl rand -base64 %d", schemas.MinWebhookMaster, schemas.MinWebhookMaster)}
	}
	return secret, nil
}

// Run aggregates until ctx ends.
func (c *aggregateCmd) Run(ctx context.Context, e *env) error {
	access, err := c.access(c.Data)
	if err != nil {
		return err
	}
	secret, err := c.secret(c.Data, false)
	if err != nil {
		return err
	}
	e.Log.Info("configuration", e.Settings...)
	opsListener, err := listen(ctx, c.OpsListen, "--ops-listen")
	if err != nil {
		return err
	}
	registry := newRegistry()
	var started phase
	ops := queryapi.NewOps(registry, e.Log, started.check())
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return ops.Run(groupCtx, opsListener) })
	group.Go(func() error {
		n := network{brokers: c.Brokers, topics: c.topics(), partitions: c.Partitions, clickhouse: access, database: c.Database}
		if n.partitions, err = prepareTopics(groupCtx, e.Log, n, schemas.DefaultPartitions, schemas.DefaultConsumptionRetention); err != nil {
			return ignoreCanceled(err)
		}
		if err := logIn(groupCtx, e.Log, n); err != nil {
			return ignoreCanceled(err)
		}
		aggregating, err := newAggregating(n, c.countingFlags, c.notifyFlags, secret, strings.TrimSuffix(c.PublicURL, "/"), e, registry)
		if err != nil {
			return err
		}
		started.done(aggregating.check())
		return aggregating.Run(groupCtx)
	})
	return group.Wait()
}

// aggregating is the aggregator of a process and what delivers its alerts.
type aggregating struct {
	aggregator *aggregator.Aggregator
	notifier   *notify.Notifier
	close      func() error
}

// newAggregating wires the aggregator of a process.
func newAggregating(n network, counting countingFlags, telling notifyFlags, secret []byte, baseURL string, e *env, registry prometheus.Registerer) (*aggregating, error) {
	conn, err := clickhouse.Open(n.options())
	if err != nil {
		return nil, fmt.Errorf("cannot configure the connection to ClickHouse: %w", err)
	}
	transport := &kafka.Transport{ClientID: "drawdown-aggregator"}
	a := &aggregating{close: func() error { transport.CloseIdleConnections(); return conn.Close() }}
	// The notifier asks the aggregator what it owns, which tells it of news.
	a.aggregator, err = aggregator.New(aggregator.Config{
		Brokers: n.brokers, Group: counting.Group + "-aggregator", Topics: n.topics, Partitions: n.partitions, Epoch: counting.Epoch,
		ClickHouse: conn, Recorded: func() { a.notifier.Wake() }, EventsTTL: counting.EventsTTL,
		Now: e.Now, Log: e.Log, Registerer: registry,
	})
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	a.notifier, err = notify.New(notify.Config{
		ClickHouse: conn, Partitions: n.partitions, Owned: a.aggregator.Owned,
		Kafka: &kafka.Client{Addr: kafka.TCP(n.brokers...), Transport: transport}, Topic: n.topics.Alerts,
		Secret: secret, BaseURL: baseURL, AllowedNetworks: telling.AllowedNetworks, AllowHTTP: telling.AllowHTTP,
		Now: e.Now, Log: e.Log, Registerer: registry,
	})
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// Run aggregates and delivers until ctx ends.
func (a *aggregating) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.aggregator.Run(ctx) })
	group.Go(func() error { return a.notifier.Run(ctx) })
	return errors.Join(group.Wait(), a.close())
}

// check is how aggregating is, for the ops port.
func (a *aggregating) check() queryapi.Check {
	ready := func(ctx context.Context) error { return errors.Join(a.aggregator.Ready(ctx), a.notifier.Health()) }
	return queryapi.Check{Name: "aggregator", Ready: ready, Live: a.aggregator.Live}
}
