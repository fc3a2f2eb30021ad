package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/drawdown/drawdown/deploy/embedded"
	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// upCmd runs everything on one machine.
type upCmd struct {
	dataFlags
	Demo       bool     `name:"demo" help:"Seed three demo workspaces with eight weeks of history and a live stream."`
	Brokers    []string `name:"kafka-brokers" env:"DRAWDOWN_KAFKA_BROKERS" placeholder:"HOST:PORT" help:"Kafka brokers to use in place of the embedded one."`
	Partitions int      `name:"partitions" env:"DRAWDOWN_PARTITIONS" default:"0" help:"Partitions of each topic; 0 takes what the topics have, else 4 embedded and 12 elsewhere."`
	topicFlags
	clickhouseFlags
	clickhouseHTTPFlags
	countingFlags
	apiFlags
	consumerFlags
	notifyFlags
	accessFlags

	ProbeEvery       time.Duration `name:"probe-every" env:"DRAWDOWN_PROBE_EVERY" default:"30s" help:"How often an event of the reserved workspace drawdown.probe, which uses no credits, measures how long an event takes to become an answer; 0: never."`
	APIListen        string        `name:"api-listen" env:"DRAWDOWN_API_LISTEN" default:"127.0.0.1:8080" help:"Address of the API."`
	OpsListen        string        `name:"ops-listen" env:"DRAWDOWN_OPS_LISTEN" default:"127.0.0.1:8081" help:"Address of health and metrics."`
	KafkaListen      string        `name:"kafka-listen" env:"DRAWDOWN_KAFKA_LISTEN" default:"127.0.0.1:9092" help:"Address of the embedded Kafka."`
	ClickHouseListen string        `name:"clickhouse-listen" env:"DRAWDOWN_CLICKHOUSE_LISTEN" default:"127.0.0.1:9000" help:"Native address of the embedded ClickHouse."`
	ClickHouseHTTP   string        `name:"clickhouse-http-listen" env:"DRAWDOWN_CLICKHOUSE_HTTP_LISTEN" default:"127.0.0.1:8123" help:"HTTP address of the embedded ClickHouse."`
}

// stopWithin bounds how long an embedded store may take to stop.
const stopWithin = 30 * time.Second

// Run starts the stores, then the pipeline on them, and stops in the opposite
// order when ctx ends.
func (c *upCmd) Run(ctx context.Context, e *env) (err error) {
	release, err := lockData(c.Data)
	if err != nil {
		return err
	}
	defer release()
	c.boundMemory(besidesConsumer + besidesAPI)
	e.Log.Info("configuration", e.Settings...)
	registry := newRegistry()
	api, err := listen(ctx, c.APIListen, "--api-listen")
	if err != nil {
		return err
	}
	defer func() { _ = api.Close() }()
	opsListener, err := listen(ctx, c.OpsListen, "--ops-listen")
	if err != nil {
		return err
	}
	defer func() { _ = opsListener.Close() }()

	var started phase
	ops := queryapi.NewOps(registry, e.Log, started.check())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return ops.Run(groupCtx, opsListener) })
	group.Go(func() error {
		n, stop, err := c.startStores(groupCtx, e)
		defer func() { stop() }()
		if err != nil {
			return err
		}
		return c.runPipeline(groupCtx, e, n, &started, api, registry)
	})
	err = group.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// startStores starts what no address was given for. stop ends what was
// started, whatever err is.
func (c *upCmd) startStores(ctx context.Context, e *env) (n network, stop func(), err error) {
	n = network{brokers: c.Brokers, topics: c.topics(), partitions: c.Partitions, database: c.Database}
	var processes []*embedded.Process
	stop = func() {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		for _, p := range processes {
			if err := p.Stop(stopCtx); err != nil {
				e.Log.Warn("a store did not stop cleanly", "error", err)
			}
		}
	}
	if c.Addr == "" {
		store := embedded.ClickHouse{Dir: filepath.Join(c.Data, "clickhouse"), TCPListen: c.ClickHouseListen, HTTPListen: c.ClickHouseHTTP, Log: e.Log}
		p, err := store.Start(ctx)
		if err != nil {
			return n, stop, err
		}
		processes = append(processes, p)
		credentials, err := store.Credentials()
		if err != nil {
			return n, stop, err
		}
		n.clickhouse = clickhouseAccess(credentials)
	} else if n.clickhouse, err = c.access(c.Data); err != nil {
		return n, stop, err
	} else if c.HTTPAddr != "" {
		n.clickhouse.HTTP = c.HTTPAddr
	}
	if err := writeSecret(filepath.Join(c.Data, "clickhouse.json"), n.clickhouse); err != nil {
		return n, stop, err
	}
	missing, retention := schemas.DefaultPartitions, schemas.DefaultConsumptionRetention
	if len(n.brokers) == 0 {
		missing, retention = schemas.EmbeddedPartitions, schemas.UnlimitedRetention
		p, err := embedded.Kafka{Dir: filepath.Join(c.Data, "kafka"), Listen: c.KafkaListen, Log: e.Log}.Start(ctx)
		if err != nil {
			return n, stop, err
		}
		processes = append(processes, p)
		n.brokers = []string{c.KafkaListen}
	}
	if n.partitions, err = prepareTopics(ctx, e.Log, n, missing, retention); err != nil {
		return n, stop, err
	}
	return n, stop, migrate(ctx, e.Log, n, "", c.EventsTTL)
}

// runPipeline consumes and serves until ctx ends.
func (c *upCmd) runPipeline(ctx context.Context, e *env, n network, started *phase, api listener, registry registry) error {
	token, err := devToken(c.Data)
	if err != nil {
		return err
	}
	who, err := c.resolve(token, c.Data, api.Addr(), true)
	if err != nil {
		return err
	}
	if who, err = c.withDevIssuer(who, c.Data, api.Addr(), c.Demo, e.Now); err != nil {
		return err
	}
	consumer, err := newConsumer(n, c.countingFlags, c.consumerFlags, e.Log, registry)
	if err != nil {
		return err
	}
	secret, err := c.secret(c.Data, true)
	if err != nil {
		return err
	}
	c.probeEvery = c.ProbeEvery
	server, closeConn, err := newServer(n, c.countingFlags, c.apiFlags, who, secret, e, registry)
	if err != nil {
		return err
	}
	defer func() { _ = closeConn() }()
	aggregating, err := newAggregating(n, c.countingFlags, c.notifyFlags, secret, c.publicURL(api.Addr()), e, registry)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return consumer.Run(ctx) })
	group.Go(func() error { return aggregating.Run(ctx) })
	group.Go(func() error { return server.Run(ctx, api) })
	access := devAccess{URL: "http://" + api.Addr().String(), Token: token}
	if err := writeSecret(filepath.Join(c.Data, devFile), access); err != nil {
		return err
	}
	c.welcome(e, access, who)
	// Who waits for /readyz finds the token and the link.
	started.done(queryapi.Check{Name: "consumers", Ready: consumer.Ready, Live: consumer.Live}, server.Check(), aggregating.check())
	if c.Demo {
		group.Go(func() error { return c.runDemo(ctx, e, n) })
	}
	return group.Wait()
}

// welcome says how to get in.
func (c *upCmd) welcome(e *env, access devAccess, who believed) {
	_, _ = fmt.Fprintf(e.Stdout, `
Drawdown serves %s
  The token in %s opens every workspace. Try:
  curl -s -H "Authorization: Bearer %s" %s/v1/me
  Health and metrics: http://%s/readyz  http://%s/metrics
`, access.URL, filepath.Join(c.Data, devFile), access.Token, access.URL, c.OpsListen, c.OpsListen)
	if who.devIssuer != nil {
		_, _ = fmt.Fprintf(e.Stdout, "  Sign in with a browser, once, within 15 minutes (another link: drawdown sign-in-link):\n  %s\n", who.devIssuer.Link())
	} else if who.signIn.ClientID != "" {
		_, _ = fmt.Fprintf(e.Stdout, "  Sign in with a browser: %s/auth/sign-in\n", who.signIn.PublicURL)
	}
}

// runDemo seeds the demo workspaces, then keeps using their credits.
func (c *upCmd) runDemo(ctx context.Context, e *env, n network) error {
	producer, err := newProducer(ctx, kafkaFlags{Brokers: n.brokers, Partitions: n.partitions, topicFlags: c.topicFlags}, e.Log)
	if err != nil {
		return ignoreCanceled(err)
	}
	defer func() { _ = producer.Close(context.WithoutCancel(ctx)) }()
	demo, err := newDemo(c.Data, e.Now())
	if err != nil {
		return err
	}
	started := time.Now()
	sent, err := demo.Seed(ctx, producer)
	if err != nil {
		return ignoreCanceled(err)
	}
	_, _ = fmt.Fprintf(e.Stdout, "  Demo: %s events seeded in %s; workspaces demo-acme, demo-globex, demo-initech.\n", grouped(sent), time.Since(started).Round(100*time.Millisecond))
	return demo.Live(ctx, producer, e.Now)
}

// lockData takes the data directory for this process, so that two do not run
// stores on the same files. The kernel gives it back when the process ends.
func lockData(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the data directory: %w; choose another with --data", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the data directory: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another drawdown up runs on %s; stop it or choose another directory with --data: %w", dir, err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}
