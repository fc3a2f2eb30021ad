package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/deploy/embedded"
	"github.com/drawdown/drawdown/schemas"
)

// benchCmd groups the benchmarks of whole processes.
type benchCmd struct {
	Ingest   benchIngestCmd   `cmd:"" help:"Events per second from the log to queryable, on this machine, with ClickHouse's own Kafka engine beside it."`
	API      benchAPICmd      `cmd:"" name:"api" help:"How long the API of a running 'drawdown up' takes to answer, by endpoint."`
	Forecast benchForecastCmd `cmd:"" name:"forecast" help:"How good forecasts would have been on hourly series, beside simple ones."`
}

// benchIngestCmd fills a broker of its own, then measures how fast its events
// become queryable.
type benchIngestCmd struct {
	consumerFlags
	Events     int64   `default:"2000000" help:"Events in the log."`
	Runs       int     `default:"3" help:"Runs of each system, in turn."`
	Duplicates float64 `default:"0" help:"Share of records that repeat an earlier one."`
	Partitions int     `default:"4" help:"Partitions of the topic."`
	NoEngine   bool    `name:"no-engine" help:"Leave out ClickHouse's own Kafka engine."`
	CPUProfile string  `name:"cpu-profile" type:"path" placeholder:"FILE" help:"Write a CPU profile of the consumer's runs."`
	Dir        string  `type:"path" placeholder:"DIR" help:"Where the stores keep their data; default: a directory that is removed."`
}

// Run prints the machine, one line per run and the ratio of the medians.
func (c *benchIngestCmd) Run(ctx context.Context, e *env) (err error) {
	if c.Events < 1 || c.Runs < 1 || c.Partitions < 1 {
		return usageError{errors.New("--events, --runs and --partitions must be at least 1")}
	}
	bed, err := c.prepare(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bed.close()) }()
	_, _ = fmt.Fprintf(e.Stdout, "machine: %s\nlog: %s events of %d bytes, %s records, lz4, %d partitions\n",
		describeMachine(), grouped(bed.totals.Events), bed.valueBytes, grouped(bed.totals.Sent), c.Partitions)
	stopProfile, err := startProfile(c.CPUProfile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopProfile()) }()
	var ours, engine []float64
	for run := range c.Runs {
		m, err := bed.measure(ctx, fmt.Sprintf("bench_%d", run), bed.consume)
		if err != nil {
			return err
		}
		ours = append(ours, m.perSecond)
		_, _ = fmt.Fprintf(e.Stdout, "run %d  drawdown: %s\n", run+1, m)
		if c.NoEngine {
			continue
		}
		if m, err = bed.measure(ctx, fmt.Sprintf("engine_%d", run), bed.engine); err != nil {
			return err
		}
		engine = append(engine, m.perSecond)
		_, _ = fmt.Fprintf(e.Stdout, "run %d  ClickHouse Kafka engine: %s\n", run+1, m)
	}
	_, _ = fmt.Fprintf(e.Stdout, "median: drawdown %s events/s", grouped(int64(median(ours))))
	if len(engine) > 0 {
		_, _ = fmt.Fprintf(e.Stdout, ", Kafka engine %s events/s, ratio %.2f", grouped(int64(median(engine))), median(ours)/median(engine))
	}
	_, _ = fmt.Fprintln(e.Stdout, "\nsums: every table of every run equals what was produced")
	return nil
}

// bench is a broker full of events and a ClickHouse.
type bench struct {
	cmd        *benchIngestCmd
	env        *env
	dir        string
	remove     bool
	kafka, ch  *embedded.Process
	net        network
	totals     simTotals
	valueBytes int64
}

func (c *benchIngestCmd) prepare(ctx context.Context, e *env) (b *bench, err error) {
	b = &bench{cmd: c, env: e, dir: c.Dir}
	if b.dir == "" {
		b.remove = true
		if b.dir, err = os.MkdirTemp("", "drawdown-bench-"); err != nil {
			return nil, fmt.Errorf("cannot make a directory for the stores: %w", err)
		}
	} else if left, err := os.ReadDir(b.dir); err == nil && len(left) > 0 {
		return nil, usageError{fmt.Errorf("%s is not empty: the events of an earlier run would count again", b.dir)}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return b, err
	}
	store := embedded.ClickHouse{Dir: filepath.Join(b.dir, "clickhouse"), TCPListen: ports[0], HTTPListen: ports[1], Log: e.Log}
	if b.ch, err = store.Start(ctx); err != nil {
		return b, err
	}
	credentials, err := store.Credentials()
	if err != nil {
		return b, err
	}
	if b.kafka, err = (embedded.Kafka{Dir: filepath.Join(b.dir, "kafka"), Listen: ports[2], Log: e.Log}).Start(ctx); err != nil {
		return b, err
	}
	b.net = network{brokers: []string{ports[2]}, topics: schemas.DefaultTopics(), partitions: c.Partitions, clickhouse: clickhouseAccess(credentials)}
	if _, err = prepareTopics(ctx, e.Log, b.net, c.Partitions, schemas.UnlimitedRetention); err != nil {
		return b, err
	}
	return b, b.fill(ctx)
}

// fill produces the events, all of the last minutes, as a live stream has them.
func (b *bench) fill(ctx context.Context) error {
	sim, err := newSimulator(simOptions{
		Seed: 1, Run: 1, Prefix: "bench-", Source: "/campaign-runner", Workspaces: 50, Campaigns: 20,
		Refunds: 0.01, Unattributed: 0.03, Duplicates: b.cmd.Duplicates, Start: b.env.Now().UTC(),
	})
	if err != nil {
		return err
	}
	flags := kafkaFlags{Brokers: b.net.brokers, Partitions: b.net.partitions}
	flags.ConsumptionTopic, flags.LedgerTopic = b.net.topics.Consumption, b.net.topics.Ledger
	flags.CampaignsTopic, flags.AlertsTopic = b.net.topics.Campaigns, b.net.topics.Alerts
	p, err := newProducer(ctx, flags, b.env.Log)
	if err != nil {
		return err
	}
	bar := startProgress(b.env.Stderr, "filling the log", b.cmd.Events, p.Acked)
	var bytes, records int64
	for sim.distinct < b.cmd.Events && err == nil {
		record := sim.Live(b.env.Now())
		bytes, records = bytes+int64(len(record.Value)), records+1
		err = p.Send(ctx, record.Topic, record.Key, record.Value)
	}
	err = errors.Join(err, p.Close(ctx))
	bar.Stop()
	if err == nil {
		b.totals, b.valueBytes = sim.totals(), bytes/records
	}
	return err
}

func (b *bench) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	var failed []error
	for _, p := range []*embedded.Process{b.kafka, b.ch} {
		if p != nil {
			failed = append(failed, p.Stop(ctx))
		}
	}
	if b.remove {
		failed = append(failed, os.RemoveAll(b.dir))
	}
	return errors.Join(failed...)
}

// measured is one run.
type measured struct {
	perSecond float64 // from the start to the last event queryable
	took      time.Duration
	own       float64 // CPU seconds of this process, of ClickHouse, of Kafka
	ch, kafka float64
}

func (m measured) String() string {
	return fmt.Sprintf("%s events/s (%.2f s; CPU s: this process %.2f, ClickHouse %.2f, Kafka %.2f)",
		grouped(int64(m.perSecond)), m.took.Seconds(), m.own, m.ch, m.kafka)
}

// measure runs one system into a fresh database until its rollup shows every
// event, then checks every table's sums.
func (b *bench) measure(ctx context.Context, database string, start func(ctx context.Context, n network) (tables []string, stop func() error, err error)) (measured, error) {
	n := b.net
	n.database = database
	conn, err := clickhouse.Open(b.net.options())
	if err != nil {
		return measured{}, fmt.Errorf("cannot configure the connection to ClickHouse: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := migrateOnce(ctx, b.env.Log, n, "", schemas.DefaultEventsTTL()); err != nil {
		return measured{}, err
	}
	ownCPU, chCPU, kafkaCPU := processCPU(os.Getpid()), processCPU(b.ch.PID()), processCPU(b.kafka.PID())
	begun := time.Now()
	tables, stop, err := start(ctx, n)
	if err != nil {
		return measured{}, err
	}
	err = b.await(ctx, conn, tables)
	took := time.Since(begun)
	m := measured{
		perSecond: float64(b.totals.Events) / took.Seconds(), took: took,
		own: processCPU(os.Getpid()) - ownCPU, ch: processCPU(b.ch.PID()) - chCPU, kafka: processCPU(b.kafka.PID()) - kafkaCPU,
	}
	if err = errors.Join(err, stop()); err != nil {
		return m, err
	}
	if err := b.check(ctx, conn, tables); err != nil {
		return m, err
	}
	return m, conn.Exec(ctx, "DROP DATABASE "+database+" SYNC")
}

// pollEvery is short beside a run of seconds; a look costs ClickHouse some milliseconds.
const pollEvery = 100 * time.Millisecond

// await polls the last table, the rollup that is filled last.
func (b *bench) await(ctx context.Context, conn driver.Conn, tables []string) error {
	query := "SELECT toInt64(sum(events)) FROM " + tables[len(tables)-1]
	var shown atomic.Int64
	bar := startProgress(b.env.Stderr, "ingesting", b.totals.Events, shown.Load)
	defer bar.Stop()
	for {
		var seen int64
		if err := conn.QueryRow(ctx, query).Scan(&seen); err != nil {
			return fmt.Errorf("cannot count what is queryable: %w", err)
		}
		shown.Store(seen)
		if seen >= b.totals.Events {
			return nil
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// check compares events and credits of each table with what was produced.
func (b *bench) check(ctx context.Context, conn driver.Conn, tables []string) error {
	for i, table := range tables {
		count := "toInt64(sum(events))"
		if i == 0 {
			count = "toInt64(count())"
		}
		var events int64
		var credits string
		if err := conn.QueryRow(ctx, "SELECT "+count+", toString(sum(toInt128(credits_micro))) FROM "+table).Scan(&events, &credits); err != nil {
			return fmt.Errorf("cannot check the sums of %s: %w", table, err)
		}
		if want := b.totals.Credits.Big().String(); events != b.totals.Events || credits != want {
			return fmt.Errorf("%s has %d events and %s micro-credits, produced were %d and %s", table, events, credits, b.totals.Events, want)
		}
	}
	return nil
}

// consume runs this program's consumer.
func (b *bench) consume(ctx context.Context, n network) ([]string, func() error, error) {
	counting := countingFlags{Group: n.database, Epoch: 1, EventsTTL: schemas.DefaultEventsTTL()}
	consumer, err := newConsumer(n, counting, b.cmd.consumerFlags, b.env.Log, nil)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- consumer.Run(ctx) }()
	tables := []string{".events", ".usage_1m", ".usage_15m", ".usage_15m_total", ".usage_1d"}
	for i := range tables {
		tables[i] = n.database + tables[i]
	}
	return tables, func() error { cancel(); return <-done }, nil
}

// engine runs ClickHouse's own Kafka engine as fast as it goes: the whole
// value as one column, taken apart once in the view, into the same raw columns
// and one rollup of 15 minutes. It deduplicates nothing.
func (b *bench) engine(ctx context.Context, n network) ([]string, func() error, error) {
	options := n.options()
	conn, err := clickhouse.Open(options)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot configure the connection to ClickHouse: %w", err)
	}
	statements := []string{
		`CREATE TABLE raw (workspace_id String, time DateTime64(3, 'UTC'), event_id String, campaign_id String, action LowCardinality(String),
			actor String, source LowCardinality(String), credits_micro Int64, kpart UInt16, koff UInt64)
			ENGINE = MergeTree PARTITION BY toYYYYMM(time) ORDER BY (workspace_id, time, event_id)`,
		`CREATE TABLE rollup (workspace_id String, bucket DateTime('UTC'), campaign_id String, action LowCardinality(String), credits_micro Int128, events Int64)
			ENGINE = SummingMergeTree((credits_micro, events)) ORDER BY (workspace_id, bucket, campaign_id, action)`,
		`CREATE MATERIALIZED VIEW rollup_view TO rollup AS SELECT workspace_id, toStartOfFifteenMinutes(toDateTime(time, 'UTC')) AS bucket, campaign_id, action,
			sum(toInt128(raw.credits_micro)) AS credits_micro, toInt64(count()) AS events FROM raw GROUP BY workspace_id, bucket, campaign_id, action`,
		fmt.Sprintf(`CREATE TABLE queue (value String) ENGINE = Kafka SETTINGS kafka_broker_list = '%s', kafka_topic_list = '%s', kafka_group_name = '%s',
			kafka_format = 'RawBLOB', kafka_num_consumers = 2, kafka_thread_per_consumer = 1, kafka_max_block_size = 200000, kafka_poll_max_batch_size = 100000,
			kafka_flush_interval_ms = 1000`, n.brokers[0], n.topics.Consumption, n.database),
		`CREATE MATERIALIZED VIEW queue_view TO raw AS SELECT e.3.1 AS workspace_id, parseDateTime64BestEffort(e.2, 3, 'UTC') AS time, e.1 AS event_id, e.3.2 AS campaign_id,
			e.3.4 AS action, e.3.5 AS actor, e.4 AS source, toInt64(round(toFloat64(e.3.3) * 1000000)) AS credits_micro, toUInt16(_partition) AS kpart, _offset AS koff
			FROM (SELECT JSONExtract(value, 'Tuple(id String, time String, data Tuple(workspace_id String, campaign_id String, credits String, action String, actor String), source String)') AS e, _partition, _offset FROM queue)`,
	}
	for _, s := range statements {
		if err := conn.Exec(ctx, s); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("cannot set up the Kafka engine: %w", err), conn.Close())
		}
	}
	stop := func() error {
		return errors.Join(conn.Exec(ctx, "DROP TABLE queue_view SYNC"), conn.Exec(ctx, "DROP TABLE queue SYNC"), conn.Close())
	}
	return []string{n.database + ".raw", n.database + ".rollup"}, stop, nil
}

// freePorts returns loopback addresses whose ports were free just now.
func freePorts(ctx context.Context, n int) ([]string, error) {
	var out []string
	var config net.ListenConfig
	for range n {
		l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("cannot find a free port: %w", err)
		}
		defer func() { _ = l.Close() }()
		out = append(out, l.Addr().String())
	}
	return out, nil
}

// describeMachine names processor, cores and memory for a report.
func describeMachine() string {
	model := runtime.GOARCH
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		lines := bufio.NewScanner(io.LimitReader(f, 1<<16))
		for lines.Scan() {
			if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
		_ = f.Close()
	}
	var info syscall.Sysinfo_t
	memory := "unknown memory"
	if syscall.Sysinfo(&info) == nil {
		memory = fmt.Sprintf("%d GiB", (info.Totalram*uint64(info.Unit)+1<<29)>>30)
	}
	return fmt.Sprintf("%s, %d cores, %s, %s/%s", model, runtime.NumCPU(), memory, runtime.GOOS, runtime.GOARCH)
}

// processCPU returns the CPU seconds a process has used, 0 where unknown.
func processCPU(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// Fields 14 and 15, counted after the name, which ends in the last ")".
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	const ticksPerSecond = 100 // USER_HZ, the same on every Linux
	return (user + system) / ticksPerSecond
}
