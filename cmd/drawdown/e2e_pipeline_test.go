package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/storetest"
)

// pipeline is consume and serve as processes of their own on stores that the
// test has started.
type pipeline struct {
	t          testing.TB
	dir        string
	broker     *storetest.Broker
	partitions int
	engine     *storetest.Engine
	access     *storetest.Database
	password   string // path of its file
	sender     []string
	tables     driver.Conn
}

// pipelineDatabase is made by `drawdown migrate`.
const pipelineDatabase = "e2e"

// newPipeline prepares the database on an engine of its own, which is started
// again when it dies: a consumer that is killed takes it down.
func newPipeline(t testing.TB, broker *storetest.Broker, partitions int) *pipeline {
	t.Helper()
	p := &pipeline{t: t, dir: storetest.Dir(t), broker: broker, partitions: partitions}
	p.engine = storetest.NewEngine(t, storetest.EngineOptions{AutoRestart: true})
	p.access = p.engine.Database(t)
	p.password = filepath.Join(p.dir, "password")
	if err := os.WriteFile(p.password, []byte(p.access.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.sender = []string{
		"--kafka-brokers", broker.Addr, "--partitions", strconv.Itoa(partitions),
		"--topic-consumption", broker.Topics.Consumption, "--topic-ledger", broker.Topics.Ledger,
		"--topic-campaigns", broker.Topics.Campaigns, "--topic-alerts", broker.Topics.Alerts,
	}
	mustRun(t, append([]string{"migrate"}, p.store(p.access.Addr)...)...)
	p.tables = p.open()
	return p
}

// store are the flags that lead to ClickHouse at an address.
func (p *pipeline) store(addr string) []string {
	return []string{
		"--data", p.dir, "--clickhouse-addr", addr, "--clickhouse-user", p.access.User,
		"--clickhouse-password-file", p.password, "--clickhouse-database", pipelineDatabase,
	}
}

func (p *pipeline) open() driver.Conn {
	p.t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{p.access.Addr},
		Auth: clickhouse.Auth{Database: pipelineDatabase, Username: p.access.User, Password: p.access.Password},
	})
	if err != nil {
		p.t.Fatalf("cannot open ClickHouse: %v", err)
	}
	p.t.Cleanup(func() { _ = conn.Close() }) // a killed server leaves broken ones
	return conn
}

// member is a place in the consumer group, held by one process after another.
type member struct {
	p       *pipeline
	ops     string
	program *program
}

func (p *pipeline) newMember() *member { return &member{p: p, ops: storetest.FreeAddr(p.t)} }

// start starts `drawdown consume` and does not wait.
func (m *member) start() {
	m.p.t.Helper()
	m.program = start(m.p.t, m.p.consume(m.ops)...)
}

// group is the consumer group of the members.
func (p *pipeline) group() string { return p.broker.Topics.Consumption + ".e2e" }

// consume is the command line of a member.
func (p *pipeline) consume(ops string) []string {
	args := append([]string{"consume", "--ops-listen", ops, "--kafka-group", p.group(), "--session-timeout", "6s"}, p.sender...)
	return append(args, p.store(p.access.Addr)...)
}

func (m *member) running() bool { return m.program != nil && m.program.Running() }

// awaitStarted waits until the process minds signals, which is before it says
// what its configuration is.
func (m *member) awaitStarted() {
	m.p.t.Helper()
	storetest.Wait(m.p.t, readyWithin, "consume has started", func() (bool, error) {
		return len(m.program.Stderr.Lines("msg=configuration")) > 0, nil
	})
}

func (m *member) awaitReady() {
	m.p.t.Helper()
	awaitReady(m.p.t, m.program, m.ops)
}

// serve starts `drawdown serve` and returns its API.
func (p *pipeline) serve() *api {
	p.t.Helper()
	a, _ := p.serveWith(p.sender[2:]...) // no brokers: the API asks ClickHouse alone
	return a
}

// serveWith starts `drawdown serve` with these flags and returns its API and
// its ops port.
func (p *pipeline) serveWith(flags ...string) (a *api, ops string) {
	p.t.Helper()
	const token = "a token of the test"
	file := filepath.Join(p.dir, "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
	addr, ops := storetest.FreeAddr(p.t), storetest.FreeAddr(p.t)
	args := append([]string{"serve", "--api-listen", addr, "--ops-listen", ops, "--token-file", file}, p.store(p.access.Addr)...)
	awaitReady(p.t, start(p.t, append(args, flags...)...), ops)
	a = newAPI(p.t, "http://"+addr)
	a.token = token
	return a, ops
}

// ledger is what the batches of consumption add up to. It waits for an engine
// that is just being started again.
func (p *pipeline) ledger() (l ledger) {
	p.t.Helper()
	storetest.Wait(p.t, readyWithin, "ClickHouse answers", func() (bool, error) {
		var err error
		l, err = readLedger(p.t.Context(), p.tables, p.broker.Topics.Consumption)
		return err == nil, nil
	})
	return l
}

// progress says how far the consumers are.
func (p *pipeline) progress() string {
	l, err := readLedger(p.t.Context(), p.tables, p.broker.Topics.Consumption)
	if err != nil {
		return "ClickHouse away: " + err.Error()
	}
	return fmt.Sprintf("%d records done", l.records)
}

// TestWrongConfigurationEndsTheProgram: what waiting cannot cure is said once,
// with exit code 2, instead of being tried for ever.
func TestWrongConfigurationEndsTheProgram(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, storetest.Kafka(t, storetest.KafkaOptions{Partitions: 4}), 4)
	wrong := filepath.Join(p.dir, "wrong")
	if err := os.WriteFile(wrong, []byte("not the password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	store := p.store(p.access.Addr)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"partitions": {append([]string{"consume", "--ops-listen", "127.0.0.1:0", "--partitions", "12", "--kafka-brokers", p.broker.Addr}, append(p.sender[4:], store...)...), "4 partitions, 12 are configured"},
		"password of consume": {append(append([]string{"consume", "--ops-listen", "127.0.0.1:0"}, p.sender...),
			"--data", p.dir, "--clickhouse-addr", p.access.Addr, "--clickhouse-user", p.access.User, "--clickhouse-password-file", wrong), "Authentication failed"},
		"password of migrate":    {[]string{"migrate", "--data", p.dir, "--clickhouse-addr", p.access.Addr, "--clickhouse-user", p.access.User, "--clickhouse-password-file", wrong}, "set the user and password"},
		"password of rejections": {[]string{"rejections", "list", "--data", p.dir, "--clickhouse-addr", p.access.Addr, "--clickhouse-user", p.access.User, "--clickhouse-password-file", wrong}, "set the user and password"},
		"password":               {[]string{"serve", "--api-listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--token-file", wrong, "--clickhouse-addr", p.access.Addr, "--clickhouse-user", p.access.User, "--clickhouse-password-file", wrong}, "Authentication failed"},
	} {
		var code int
		var stderr string
		// The embedded engine ends when somebody logs in wrongly, and is started
		// again; what does not wait for it finds nobody there meanwhile.
		storetest.Wait(t, readyWithin, name+" reaches the engine", func() (bool, error) {
			code, _, stderr = run(t, c.args...)
			away := slices.ContainsFunc([]string{"connection refused", "connection reset", "EOF", "broken pipe"}, func(sign string) bool { return strings.Contains(stderr, sign) })
			return code == 2 || !away, nil
		})
		if code != 2 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, want 2 and %q in:\n%s", name, code, c.says, stderr)
		}
	}
}

// TestConsumeWaitsForTopicsThatAreBeingMade: a partition count that somebody
// else is about to make right does not end it.
func TestConsumeWaitsForTopicsThatAreBeingMade(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, storetest.Kafka(t, storetest.KafkaOptions{Partitions: 4}), 6)
	ops := storetest.FreeAddr(t)
	args := append([]string{"consume", "--ops-listen", ops}, append(p.sender, p.store(p.access.Addr)...)...)
	consumer := start(t, args...)
	storetest.Wait(t, readyWithin, "consume meets the wrong partition count", func() (bool, error) {
		return strings.Contains(consumer.Stderr.String(), "wrong partition count"), nil
	})
	client := p.broker.Client(t)
	var topics []kafka.TopicPartitionsConfig
	for _, name := range append(p.broker.Topics.Inputs(), p.broker.Topics.Alerts) {
		topics = append(topics, kafka.TopicPartitionsConfig{Name: name, Count: 6})
	}
	response, err := client.CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{Topics: topics})
	if err != nil || len(response.Errors) == 0 {
		t.Fatalf("%v %v", response, err)
	}
	awaitReady(t, consumer, ops)
}
