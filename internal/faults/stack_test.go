package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

const (
	// startWithin bounds a start on a loaded machine.
	startWithin = 3 * time.Minute
	// members of the group while nothing fails.
	members = 3
	// sessionTimeout of the members: short, so that a lost session costs a
	// campaign little, and long enough for a loaded machine to keep it.
	sessionTimeout = 4 * time.Second
	// linger of the members: short batches, of which more are under way.
	linger = 100 * time.Millisecond

	group = "drawdown"
)

// stack is the whole of Drawdown as processes of their own.
type stack struct {
	t        testing.TB
	dir      string
	broker   broker
	kfake    *kfakeProcess // broker, if it is one
	straight string        // the broker's own address
	kafka    *storetest.Proxy
	client   *kafka.Client // past the proxy
	topics   schemas.Topics
	engine   *storetest.Engine
	access   *storetest.Database
	tables   driver.Conn
	epoch    uint32
	starts   map[partitionID]uint64 // of the ledger in this epoch, where not 0
	members  []*member
	server   *server
}

// newStack starts the stores and the database; kind is kfake or kafka.
func newStack(t testing.TB, kind string) *stack {
	t.Helper()
	s := &stack{t: t, dir: storetest.Dir(t), topics: schemas.DefaultTopics(), epoch: 1}
	s.engine = storetest.NewEngine(t, storetest.EngineOptions{AutoRestart: true})
	s.access = s.engine.Database(t)
	switch kind {
	case "kfake":
		s.straight = storetest.FreeAddr(t)
		s.kafka = storetest.NewProxy(t, s.straight)
		s.kfake = startKfake(t, brokerSettings{Dir: filepath.Join(s.dir, "kafka"), Listen: s.straight, Told: s.kafka.Addr})
		s.broker = s.kfake
	case "kafka":
		s.broker = storetest.NewApacheKafka(t, storetest.KafkaOptions{Partitions: partitions, Advertise: func(listen string) string {
			s.straight, s.kafka = listen, storetest.NewProxy(t, listen)
			return s.kafka.Addr
		}})
	default:
		t.Fatalf("BROKER=%s: want kfake or kafka", kind)
	}
	var done func()
	s.client, done = straightClient(s.straight)
	t.Cleanup(done)
	ctx, cancel := context.WithTimeout(t.Context(), startWithin)
	defer cancel()
	err := schemas.CreateTopics(ctx, s.client, schemas.CreateTopicsConfig{
		Topics: s.topics, Partitions: partitions, ReplicationFactor: 1, ConsumptionRetention: -1,
	})
	if err != nil {
		t.Fatalf("cannot create topics: %v", err)
	}
	if err := os.WriteFile(s.passwordFile(), []byte(s.access.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.tables, err = clickhouse.Open(s.access.Options())
	if err != nil {
		t.Fatalf("cannot open ClickHouse: %v", err)
	}
	t.Cleanup(func() { _ = s.tables.Close() }) // a killed server leaves broken ones
	for i := range members {
		s.members = append(s.members, s.newMember(i+1))
	}
	s.server = newServer(s)
	return s
}

func (s *stack) passwordFile() string { return filepath.Join(s.dir, "password") }

// store are the flags that lead to ClickHouse at an address.
func (s *stack) store(addr string) []string {
	return []string{
		"--data", s.dir, "--clickhouse-addr", addr, "--clickhouse-user", s.access.User,
		"--clickhouse-password-file", s.passwordFile(), "--clickhouse-database", s.access.Name,
	}
}

// member is a place in the consumer group, held by one process after another.
type member struct {
	s          *stack
	name       string
	ops        string
	clickhouse *storetest.Proxy // its own way to ClickHouse
	command    *storetest.Command
}

func (s *stack) newMember(number int) *member {
	return &member{
		s: s, name: fmt.Sprintf("member %d", number), ops: storetest.FreeAddr(s.t), clickhouse: storetest.NewProxy(s.t, s.access.Addr),
	}
}

// start starts `drawdown consume` and does not wait.
func (m *member) start(flags ...string) {
	args := []string{
		"consume", "--ops-listen", m.ops, "--kafka-brokers", m.s.kafka.Addr, "--partitions", strconv.Itoa(partitions), "--kafka-group", group,
		"--session-timeout", sessionTimeout.String(), "--linger", linger.String(), "--epoch", strconv.Itoa(int(m.s.epoch)),
		"--filter-memory-mb", "32", "--batch-memory-mb", "32",
	}
	args = append(append(args, m.s.store(m.clickhouse.Addr)...), flags...)
	m.command = storetest.Start(m.s.t, storetest.CommandOptions{Quiet: true}, args...)
}

func (m *member) running() bool { return m.command != nil && m.command.Running() }

// ready is nil when the member makes progress, else what it says is wrong.
func (m *member) ready() error {
	if !m.running() {
		return errors.New("it does not run")
	}
	return storetest.Probe(m.ops, "readyz")
}

// awaitMinding waits until a process that was just started minds SIGTERM.
func (m *member) awaitMinding() {
	storetest.Wait(m.s.t, startWithin, m.name+" has started", func() (bool, error) {
		return len(m.command.Stderr.Lines("msg=configuration")) > 0 || !m.running(), nil
	})
}

// leave ends the member cleanly.
func (m *member) leave() error {
	if !m.running() {
		return nil
	}
	m.awaitMinding()
	if code := m.command.Stop(); code != 0 {
		return fmt.Errorf("%s exited with %d after SIGTERM: %s", m.name, code, m.command.Stderr.Tail(1000))
	}
	return nil
}

// server is the API, which one process after another serves.
type server struct {
	s         *stack
	addr, ops string
	command   *storetest.Command
}

const token = "a token of the test"

func newServer(s *stack) *server {
	if err := os.WriteFile(filepath.Join(s.dir, "token"), []byte(token+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return &server{s: s, addr: storetest.FreeAddr(s.t), ops: storetest.FreeAddr(s.t)}
}

func (a *server) start() {
	args := []string{
		"serve", "--api-listen", a.addr, "--ops-listen", a.ops, "--token-file", filepath.Join(a.s.dir, "token"),
		"--partitions", strconv.Itoa(partitions), "--kafka-group", group, "--epoch", strconv.Itoa(int(a.s.epoch)),
	}
	a.command = storetest.Start(a.s.t, storetest.CommandOptions{Quiet: true}, append(args, a.s.store(a.s.access.Addr)...)...)
}

// startAll starts what does not run.
func (s *stack) startAll(flags ...string) {
	for _, m := range s.members {
		if !m.running() {
			m.start(flags...)
		}
	}
	if s.server.command == nil || !s.server.command.Running() {
		s.server.start()
	}
}

// unready says which processes do not make progress, nil if all do.
func (s *stack) unready() error {
	var failed []error
	for _, m := range s.members {
		if err := m.ready(); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", m.name, err))
		}
	}
	if err := storetest.Probe(s.server.ops, "readyz"); err != nil {
		failed = append(failed, fmt.Errorf("the API: %w", err))
	}
	return errors.Join(failed...)
}

// parked says which partition is parked: no fault may have that end, but those
// that are about it.
func (s *stack) parked() error {
	err := s.unready()
	if err == nil {
		return nil
	}
	_, why, found := strings.Cut(err.Error(), "is parked: ")
	if !found {
		return nil
	}
	return fmt.Errorf("a partition is parked: %s", why)
}

// dead says which process ended although nobody ended it.
func (s *stack) dead() error {
	for _, m := range s.members {
		if !m.running() {
			return fmt.Errorf("%s ended by itself: %s", m.name, m.command.Stderr.Tail(2000))
		}
	}
	if !s.server.command.Running() {
		return fmt.Errorf("the API ended by itself: %s", s.server.command.Stderr.Tail(2000))
	}
	return nil
}

// logRange is the first offset of a partition's log and its end.
func (s *stack) logRange(ctx context.Context, topic string, p int) (first, end int64, err error) {
	res, err := s.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p)},
	}})
	if err == nil && len(res.Topics[topic]) == 0 {
		err = errors.New("no answer")
	}
	if err == nil {
		err = res.Topics[topic][0].Error
	}
	if err != nil {
		return 0, 0, fmt.Errorf("cannot list the offsets of %s/%d: %w", topic, p, err)
	}
	return res.Topics[topic][0].FirstOffset, res.Topics[topic][0].LastOffset, nil
}

// partitionID names a partition of an input topic.
type partitionID struct {
	topic string
	id    int
}

// ends are the ends of all logs.
func (s *stack) ends(ctx context.Context) (map[partitionID]int64, error) {
	ends := make(map[partitionID]int64)
	for _, topic := range s.topics.Inputs() {
		for p := range partitions {
			_, end, err := s.logRange(ctx, topic, p)
			if err != nil {
				return nil, err
			}
			ends[partitionID{topic, p}] = end
		}
	}
	return ends, nil
}

// behind names the partitions that are not done up to the given ends.
func (s *stack) behind(ctx context.Context, ends map[partitionID]int64) (string, error) {
	rows, err := s.tables.Query(ctx, `SELECT topic, kpart, toInt64(max(last) + 1) FROM ingest_batches WHERE epoch = ? GROUP BY ALL`, s.epoch)
	if err != nil {
		return "", fmt.Errorf("cannot read the ledger: %w", err)
	}
	defer func() { _ = rows.Close() }()
	done := make(map[partitionID]int64)
	for rows.Next() {
		var topic string
		var p uint16
		var next int64
		if err := rows.Scan(&topic, &p, &next); err != nil {
			return "", fmt.Errorf("cannot read the ledger: %w", err)
		}
		done[partitionID{topic, int(p)}] = next
	}
	var late []string
	for id, end := range ends {
		if done[id] < end {
			late = append(late, fmt.Sprintf("%s/%d done up to %d of %d", id.topic, id.id, done[id], end))
		}
	}
	return strings.Join(late, ", "), rows.Err()
}

// admin sends a request to the broker past the proxy, as an operator's tool does.
func (s *stack) admin(request kmsg.Request) (kmsg.Response, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.straight), kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, s.straight)
	}))
	if err != nil {
		return nil, fmt.Errorf("cannot make a client: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	return client.Request(ctx, request)
}

// exec runs a statement of an operator.
func (s *stack) exec(statement string) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	if err := s.tables.Exec(ctx, statement); err != nil {
		return fmt.Errorf("cannot %s: %w", statement, err)
	}
	return nil
}

// paused stops a process for a while, as a machine does that swaps or a
// container that is throttled.
func paused(pid int, during func()) {
	_ = syscall.Kill(pid, syscall.SIGSTOP) // gone already is as good
	during()
	_ = syscall.Kill(pid, syscall.SIGCONT)
}

// deleteRecords moves the start of a log, as retention does.
func (s *stack) deleteRecords(topic string, p int, before int64) error {
	request := kmsg.NewPtrDeleteRecordsRequest()
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = topic
	partition := kmsg.NewDeleteRecordsRequestTopicPartition()
	partition.Partition, partition.Offset = int32(p), before
	t.Partitions = append(t.Partitions, partition)
	request.Topics, request.TimeoutMillis = append(request.Topics, t), 10_000
	if _, err := s.admin(request); err != nil {
		return fmt.Errorf("cannot delete records of %s/%d: %w", topic, p, err)
	}
	first, _, err := s.logRange(s.t.Context(), topic, p)
	if err == nil && first != before {
		err = fmt.Errorf("the log of %s/%d starts at %d, not at %d", topic, p, first, before)
	}
	return err
}

// nextEpoch has members count the logs as they are now from their start.
func (s *stack) nextEpoch() error {
	s.epoch++
	s.starts = make(map[partitionID]uint64)
	for _, topic := range s.topics.Inputs() {
		for p := range partitions {
			first, _, err := s.logRange(s.t.Context(), topic, p)
			if err != nil {
				return err
			}
			s.starts[partitionID{topic, p}] = uint64(first)
		}
	}
	return nil
}

// othersDone waits until all partitions but one are counted to their ends.
func (s *stack) othersDone(but partitionID, within time.Duration) error {
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		ends, err := s.ends(s.t.Context())
		if err != nil {
			return err
		}
		delete(ends, but)
		late, err := s.behind(s.t.Context(), ends)
		if err == nil && late == "" {
			return nil
		}
		if time.Since(began) > within {
			return fmt.Errorf("the others do not go on within %s: %w", within, errors.Join(err, errors.New(late)))
		}
	}
}
