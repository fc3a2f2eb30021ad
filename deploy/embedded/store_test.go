package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/deploy/embedded"
	"github.com/drawdown/drawdown/internal/storetest"
)

// within bounds what takes a second on an idle machine.
const within = time.Minute

func count(t *testing.T, db *storetest.Database, query string) uint64 {
	t.Helper()
	conn, err := clickhouse.Open(db.Options()) // a fresh one: the old pool may hold dead connections
	if err != nil {
		t.Fatal(err)
	}
	var n uint64
	if err := errors.Join(conn.QueryRow(t.Context(), query).Scan(&n), conn.Close()); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestClickHouseKeepsAcknowledgedRowsOverKill(t *testing.T) {
	engine := storetest.NewEngine(t, storetest.EngineOptions{})
	db := engine.Database(t)
	const rounds, rows = 5, 10_000
	for round := range uint64(rounds) {
		conn := db.Conn(t)
		insert := fmt.Sprintf("INSERT INTO rejections (topic, koff) SELECT 'round', number + %d FROM numbers(%d)", round*rows, rows)
		if err := conn.Exec(t.Context(), insert); err != nil {
			t.Fatal(err)
		}
		engine.Kill()
		engine.Restart()
		if n := count(t, db, "SELECT uniqExact(koff) FROM rejections"); n != (round+1)*rows {
			t.Fatalf("after kill %d: %d rows, want %d", round+1, n, (round+1)*rows)
		}
	}
}

func TestStoresSurviveManyRestarts(t *testing.T) {
	engine := storetest.NewEngine(t, storetest.EngineOptions{})
	broker := storetest.NewKafka(t, storetest.ProcessOptions{})
	db := engine.Database(t)
	for round := range 10 {
		client := broker.Client(t) // the last one's connections are dead
		produce(t, client, broker.Topics.Consumption, 0, fmt.Sprint(round))
		if round%2 == 0 {
			engine.Kill()
			broker.Kill()
		}
		engine.Restart()
		broker.Restart()
	}
	if n := count(t, db, "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'events'"); n != 1 {
		t.Fatal("the events table is gone")
	}
	if got := readAll(t, broker.Addr, broker.Topics.Consumption, 0); len(got) != 10 {
		t.Fatalf("%d records after ten restarts, want 10: %v", len(got), got)
	}
}

func produce(t *testing.T, client *kafka.Client, topic string, partition int, value string) {
	t.Helper()
	_, err := client.Produce(t.Context(), &kafka.ProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(value))}),
	})
	if err != nil {
		t.Fatalf("cannot produce: %v", err)
	}
}

// readAll returns the values of a partition from its first to its last offset.
func readAll(t *testing.T, addr, topic string, partition int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	conn, err := kafka.DialLeader(ctx, "tcp", addr, topic, partition)
	if err != nil {
		t.Fatalf("cannot dial the broker: %v", err)
	}
	defer func() { _ = conn.Close() }()
	first, last, err := conn.ReadOffsets()
	if err != nil {
		t.Fatalf("cannot read offsets: %v", err)
	}
	if first != 0 {
		t.Fatalf("the log starts at %d", first)
	}
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	var values []string
	for int64(len(values)) < last {
		m, err := conn.ReadMessage(1 << 20)
		if err != nil {
			t.Fatalf("cannot read offset %d of %d: %v", len(values), last, err)
		}
		if m.Offset != int64(len(values)) {
			t.Fatalf("offset %d follows %d", m.Offset, len(values)-1)
		}
		values = append(values, string(m.Value))
	}
	return values
}

func TestKafkaKeepsAcknowledgedRecordsOverKill(t *testing.T) {
	broker := storetest.NewKafka(t, storetest.ProcessOptions{})
	var acknowledged []string
	for round := range 5 {
		acks := make(chan string, 100_000)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			defer close(acks)
			transport := &kafka.Transport{}
			defer transport.CloseIdleConnections()
			client := &kafka.Client{Addr: kafka.TCP(broker.Addr), Transport: transport, Timeout: 5 * time.Second}
			for i := range cap(acks) {
				value := fmt.Sprintf("%d/%d", round, i)
				_, err := client.Produce(t.Context(), &kafka.ProduceRequest{
					Topic: broker.Topics.Consumption, RequiredAcks: kafka.RequireAll,
					Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte(value))}),
				})
				if err != nil {
					return // killed: this one may or may not be there
				}
				acks <- value
			}
		}()
		storetest.Wait(t, within, "50 records are acknowledged", func() (bool, error) { return len(acks) >= 50, nil })
		broker.Kill()
		<-stopped
		for value := range acks {
			acknowledged = append(acknowledged, value)
		}
		broker.Restart()
	}
	found := map[string]int{}
	for _, value := range readAll(t, broker.Addr, broker.Topics.Consumption, 0) {
		found[value]++
	}
	for _, value := range acknowledged {
		if found[value] != 1 {
			t.Errorf("acknowledged record %s is there %d times", value, found[value])
		}
	}
	t.Logf("%d acknowledged, %d there", len(acknowledged), len(found))
}

func commit(t *testing.T, client *kafka.Client, topic string, offset int64, metadata string) {
	t.Helper()
	answer, err := client.OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{
		GroupID: "drawdown", GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: 0, Offset: offset, Metadata: metadata}}},
	})
	if err == nil {
		err = answer.Topics[topic][0].Error
	}
	if err != nil {
		t.Fatalf("cannot commit offset %d: %v", offset, err)
	}
}

func committed(t *testing.T, client *kafka.Client, topic string) (int64, string) {
	t.Helper()
	answer, err := client.OffsetFetch(t.Context(), &kafka.OffsetFetchRequest{GroupID: "drawdown", Topics: map[string][]int{topic: {0}}})
	if err != nil {
		t.Fatalf("cannot fetch the committed offset: %v", err)
	}
	return answer.Topics[topic][0].CommittedOffset, answer.Topics[topic][0].Metadata
}

func appendTo(t *testing.T, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestKafkaTornLastWritesLoseNothingAcknowledged(t *testing.T) {
	broker := storetest.NewKafka(t, storetest.ProcessOptions{})
	topic := broker.Topics.Consumption
	client := broker.Client(t)
	for i := range 3 {
		produce(t, client, topic, 0, fmt.Sprint(i))
	}
	commit(t, client, topic, 1, "one")
	broker.Kill()

	// A power cut leaves half of the write that was under way.
	segments, err := filepath.Glob(filepath.Join(broker.LogDir(), "partitions", topic+"-0", "*.dat"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments of the partition: %v, %v", segments, err)
	}
	segment, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, segments[0], segment[:40])
	appendTo(t, filepath.Join(broker.LogDir(), "groups.log"), []byte{200, 0, 0, 0, 1, 2, 3, 4, 1, 0, '{'})

	broker.Restart()
	client = broker.Client(t)
	commit(t, client, topic, 2, "two") // behind the torn one
	produce(t, client, topic, 0, "3")
	broker.Kill()
	broker.Restart()
	client = broker.Client(t)
	if offset, metadata := committed(t, client, topic); offset != 2 || metadata != "two" {
		t.Errorf("committed offset after a torn write: %d %q, want 2 %q", offset, metadata, "two")
	}
	if got := readAll(t, broker.Addr, topic, 0); strings.Join(got, " ") != "0 1 2 3" {
		t.Errorf("records after a torn write: %v", got)
	}
}

func TestCrashedStoresComeBackByThemselves(t *testing.T) {
	engine := storetest.NewEngine(t, storetest.EngineOptions{AutoRestart: true})
	broker := storetest.NewKafka(t, storetest.ProcessOptions{AutoRestart: true})
	for range 2 {
		for name, store := range map[string]interface {
			PID() int
			Health() error
			Kill()
		}{"clickhouse": engine, "kafka": broker} {
			before := store.PID()
			store.Kill()
			storetest.Wait(t, within, name+" is up again", func() (bool, error) {
				return store.Health() == nil && store.PID() != before, nil
			})
		}
	}
}

// TestEngineAbortIsAShortRestart provokes the abort that this engine answers
// connection errors with, here a first packet that is no greeting.
func TestEngineAbortIsAShortRestart(t *testing.T) {
	engine := storetest.NewEngine(t, storetest.EngineOptions{AutoRestart: true})
	db := engine.Database(t)
	before := engine.PID()
	conn, err := net.Dial("tcp", engine.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(bytes.Repeat([]byte{0xfe}, 100)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	began := time.Now()
	storetest.Wait(t, within, "the engine is up again", func() (bool, error) {
		return engine.Health() == nil && engine.PID() != before, nil
	})
	t.Logf("up again after %s", time.Since(began).Round(time.Millisecond))
	if n := count(t, db, "SELECT count() FROM events"); n != 0 {
		t.Fatalf("%d rows in a fresh table", n)
	}
}

func TestCutInsertsDoNotStopTheEngineForGood(t *testing.T) {
	engine := storetest.NewEngine(t, storetest.EngineOptions{AutoRestart: true})
	db := engine.Database(t)
	proxy := storetest.NewProxy(t, db.Addr)
	options := db.Options()
	options.Addr = []string{proxy.Addr}
	for range 5 {
		conn, err := clickhouse.Open(options)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO rejections (topic, value)")
		if err != nil {
			t.Fatal(err)
		}
		for range 100_000 {
			if err := batch.Append("t", "some bytes of a value"); err != nil {
				t.Fatal(err)
			}
		}
		if err := batch.Flush(); err != nil {
			t.Fatal(err)
		}
		proxy.Cut()
		if err := batch.Send(); err == nil {
			t.Fatal("the insert succeeded over a cut connection")
		}
		_ = conn.Close() // broken already
		storetest.Wait(t, within, "the engine answers", func() (bool, error) {
			conn, err := clickhouse.Open(db.Options())
			if err != nil {
				return false, err
			}
			return errors.Join(conn.Ping(t.Context()), conn.Close()) == nil, nil
		})
	}
}

func TestTakenPortIsAnErrorThatNamesTheFlag(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	addr := taken.Addr().String()
	exe := existing(t, "drawdown-embedded")
	library := existing(t, "libchdb.so")
	for flag, start := range map[string]func(dir string) (*embedded.Process, error){
		"--clickhouse-listen": func(dir string) (*embedded.Process, error) {
			return embedded.ClickHouse{Binary: exe, Library: library, Dir: dir, TCPListen: addr, HTTPListen: "127.0.0.1:0"}.Start(t.Context())
		},
		"--clickhouse-http-listen": func(dir string) (*embedded.Process, error) {
			return embedded.ClickHouse{Binary: exe, Library: library, Dir: dir, TCPListen: "127.0.0.1:0", HTTPListen: addr}.Start(t.Context())
		},
		"--kafka-listen": func(dir string) (*embedded.Process, error) {
			return embedded.Kafka{Binary: exe, Dir: dir, Listen: addr}.Start(t.Context())
		},
	} {
		t.Run(flag, func(t *testing.T) {
			began := time.Now()
			_, err := start(t.TempDir())
			if err == nil || !strings.Contains(err.Error(), flag+" ") && !strings.HasSuffix(err.Error(), flag) || !strings.Contains(err.Error(), addr) {
				t.Fatalf("error %v does not name %s and %s", err, flag, addr)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Fatalf("a foreign program's port was waited for: %s", took)
			}
		})
	}
}

// existing is a file that is only looked at, never run.
func existing(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDirectoryOfALivingSupervisorIsRefused(t *testing.T) {
	engine := storetest.NewEngine(t, storetest.EngineOptions{})
	store := embedded.ClickHouse{
		Binary: existing(t, "drawdown-embedded"), Library: existing(t, "libchdb.so"),
		Dir: engine.Dir(), TCPListen: engine.Addr(), HTTPListen: engine.Addr(),
	}
	_, err := store.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("a second engine on the same directory: %v", err)
	}
}

func TestPasswordIsKeptAndNowhereToRead(t *testing.T) {
	engine := storetest.NewEngine(t, storetest.EngineOptions{})
	db := engine.Database(t)
	pid := engine.PID()
	for _, name := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(db.Password)) {
			t.Errorf("the password stands in the child's %s", name)
		}
	}
	for _, name := range []string{"password", "users.xml", "config.xml"} {
		info, err := os.Stat(filepath.Join(engine.Dir(), name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o, want 600", name, info.Mode().Perm())
		}
	}
	engine.Restart()
	if n := count(t, db, "SELECT toUInt64(1)"); n != 1 {
		t.Fatal("the password changed over a restart")
	}
}

func TestEngineUserCanDoNothing(t *testing.T) {
	engine := storetest.NewEngine(t, storetest.EngineOptions{})
	options := engine.Database(t).Options()
	options.Auth = clickhouse.Auth{Username: "default"}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"SYSTEM STOP LISTEN TCP", "CREATE DATABASE mine", "CREATE TEMPORARY TABLE mine (x UInt8)", "SELECT count() FROM system.processes"} {
		var refused *clickhouse.Exception
		if err := conn.Exec(t.Context(), statement); !errors.As(err, &refused) {
			t.Errorf("%s as user default without password: %v", statement, err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := engine.Health(); err != nil {
		t.Errorf("the engine did not bear it: %v", err)
	}
}

func TestApplicationUserSeesWhatItNeeds(t *testing.T) {
	db := storetest.ClickHouse(t)
	conn := db.Conn(t)
	for _, query := range []string{
		"SELECT count() FROM system.processes",
		"SELECT count() FROM system.parts",
		"SELECT count() FROM system.merges",
		"SELECT count() FROM system.mutations",
		"SELECT count() FROM system.errors",
	} {
		var n uint64
		if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	for _, statement := range []string{"CREATE DATABASE other_" + db.Name, "DROP DATABASE other_" + db.Name} {
		if err := conn.Exec(t.Context(), statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func listens(addr string) bool {
	c, err := net.Dial("tcp", addr)
	return err == nil && c.Close() == nil
}
