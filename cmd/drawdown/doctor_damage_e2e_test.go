package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// forbidden is a setting that a profile says and lets nobody change.
type forbidden struct{ user, setting, value string }

// forbid adds users with such profiles, who have the password of the stack's own
// user. The engine reads them as it starts, so it is killed.
func (s *stack) forbid(all ...forbidden) {
	s.t.Helper()
	path := filepath.Join(s.data, "clickhouse", "users.xml")
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	users := string(text)
	password := regexp.MustCompile(`<password_sha256_hex>[0-9a-f]+</password_sha256_hex>`).FindString(users)
	for _, f := range all {
		user := strings.NewReplacer("USER", f.user, "PASSWORD", password).Replace(
			"<USER>PASSWORD<profile>USER</profile><quota>default</quota><networks><ip>::/0</ip></networks></USER></users>")
		profile := strings.NewReplacer("USER", f.user, "SETTING", f.setting, "VALUE", f.value).Replace(
			"<USER><SETTING>VALUE</SETTING><constraints><SETTING><const/></SETTING></constraints></USER></profiles>")
		users = strings.Replace(strings.Replace(users, "</users>", user, 1), "</profiles>", profile, 1)
	}
	if err := os.WriteFile(path, []byte(users), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.killClickHouse()
}

// killClickHouse kills the engine and returns when another answers.
func (s *stack) killClickHouse() {
	s.t.Helper()
	of, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.up.PID()))
	if err != nil {
		s.t.Fatal(err)
	}
	killed := 0
	for _, path := range of {
		children, _ := os.ReadFile(path) // a thread may have ended
		for _, child := range strings.Fields(string(children)) {
			if command, _ := os.ReadFile("/proc/" + child + "/cmdline"); !strings.Contains(string(command), "config.xml") {
				continue
			}
			if killed, err = strconv.Atoi(child); err == nil {
				err = syscall.Kill(killed, syscall.SIGKILL)
			}
			if err != nil {
				s.t.Fatal(err)
			}
		}
	}
	if killed == 0 {
		s.t.Fatal("up has no ClickHouse")
	}
	tables := s.tables()
	storetest.Wait(s.t, readyWithin, "ClickHouse is back", func() (bool, error) {
		return syscall.Kill(killed, 0) != nil && tables.Ping(s.t.Context()) == nil, nil
	})
}

// passwordFile has the password of the stack's own user.
func (s *stack) passwordFile() string {
	s.t.Helper()
	var access struct{ Password string }
	readJSON(s.t, filepath.Join(s.data, "clickhouse.json"), &access)
	path := filepath.Join(storetest.Dir(s.t), "password")
	if err := os.WriteFile(path, []byte(access.Password), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// tear cuts bytes off the data of a table's part and has ClickHouse read it again.
func (s *stack) tear(table string) {
	s.t.Helper()
	var dir string
	if err := s.tables().QueryRow(s.t.Context(), "SELECT path FROM system.parts WHERE database = currentDatabase() AND table = ? AND active LIMIT 1", table).Scan(&dir); err != nil {
		s.t.Fatal(err)
	}
	s.exec("DETACH TABLE " + table)
	path := filepath.Join(dir, "data.bin")
	data, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, data.Size()-1)
	}
	if err != nil {
		s.t.Fatalf("cannot break a part: %v", err)
	}
	s.exec("ATTACH TABLE " + table)
}

// commit puts a group that nobody is in at an offset.
func commit(t testing.TB, client *kafka.Client, group string, partition int, offset int64) {
	t.Helper()
	answer, err := client.OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{consumption: {{Partition: partition, Offset: offset}}},
	})
	if err == nil {
		err = answer.Topics[consumption][0].Error
	}
	if err != nil {
		t.Fatalf("cannot commit: %v", err)
	}
}

// deleteRecords moves the start of a log, as retention does.
func deleteRecords(t testing.TB, broker, topic string, partition int, before int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	request := kmsg.NewPtrDeleteRecordsRequest()
	asked, part := kmsg.NewDeleteRecordsRequestTopic(), kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Partition, part.Offset = int32(partition), before
	asked.Topic, asked.Partitions = topic, append(asked.Partitions, part)
	request.Topics, request.TimeoutMillis = append(request.Topics, asked), 10_000
	answer, err := request.RequestWith(t.Context(), client)
	if err != nil || answer.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("cannot delete records: %v, %+v", err, answer)
	}
}

// TestDoctorNamesDamageDoneToTheStores does it for real: what a test cannot do,
// clocks and lost replicas, is in doctor_test.go.
func TestDoctorNamesDamageDoneToTheStores(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	s.forbid(forbidden{"overruled", "deduplicate_insert", "disable"}, forbidden{"delayed", "async_insert", "1"}, forbidden{"split", "max_block_size", "1000"})
	client, tables := s.client(), s.tables()
	const workspace = "ws_damage"
	partition := schemas.Partition([]byte(workspace), schemas.EmbeddedPartitions)
	send := func(id string) {
		t.Helper()
		produce(t, client, consumption, partition, kafka.Record{Key: kafka.NewBytes([]byte(workspace)), Value: kafka.NewBytes([]byte(exampleEvent(workspace, id, time.Now())))})
	}
	for i := range 3 { // each a range of the ledger
		send(fmt.Sprint("event-", i))
		awaitDone(t, client, tables, consumption)
	}
	if code, found := s.doctor(); code != 0 {
		t.Fatalf("of a healthy stack doctor says: %+v", found)
	}
	sql := func(statement string) func() { return func() { t.Helper(); s.exec(statement) } }
	where := fmt.Sprintf("%s/%d", consumption, partition)
	password := s.passwordFile()
	as := func(user string) []string {
		return []string{"--clickhouse-user", user, "--clickhouse-password-file", password}
	}
	slow := "sleepEachRow(3)" + strings.Repeat(" + sleepEachRow(2.9)", 19)
	s.requireTold([]wrong{
		{
			name: "a profile that overrules insert_deduplicate", flags: as("overruled"),
			want: finding{"settings", "overruled", "deduplicate_insert is disable and may not be enable", "ALTER USER overruled SETTINGS deduplicate_insert = 'enable' WRITABLE"},
		},
		{
			name: "a profile that wants INSERTs to be asynchronous", flags: as("delayed"),
			want: finding{"settings", "delayed", "async_insert is 1 and may not be 0", "take async_insert out of the constraints"},
		},
		{
			name: "a profile that splits blocks", flags: as("split"),
			want: finding{"settings", "split", "max_block_size is 1000 and may not be 1048576", "max_block_size"},
		},
		{
			name: "a mutation that takes too long", make: sql("ALTER TABLE campaign_activity DELETE WHERE " + slow + " = 1 SETTINGS mutations_sync = 0"), flags: []string{"--slow-merge", "1ms"},
			want: finding{"merges", "campaign_activity", "a mutation has been running for", "KILL MUTATION"}, cured: true,
		},
		{
			name: "a part that was detached", make: func() {
				var part string
				if err := tables.QueryRow(t.Context(), "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active LIMIT 1").Scan(&part); err != nil {
					t.Fatal(err)
				}
				s.exec(fmt.Sprintf("ALTER TABLE events DETACH PART '%s'", part))
			},
			want: finding{"parts", "events", "was detached by somebody", "ATTACH PART"}, cured: true,
		},
		{
			name: "a part that is broken", make: func() { s.tear("campaign_activity") },
			want: finding{"parts", "campaign_activity", "it is broken", "drawdown audit"}, cured: true,
		},
		{
			name: "a range that is gone from the ledger of batches", make: func() {
				s.exec("CREATE TABLE kept ENGINE = MergeTree ORDER BY first AS SELECT * FROM ingest_batches WHERE topic = ? AND first = 1", consumption)
				s.exec("DELETE FROM ingest_batches WHERE topic = ? AND first = 1", consumption)
			},
			want: finding{"ledger", where, "offsets 1 to 1 are missing", "drawdown consume --replay " + where + "/1..1"},
			undo: func() { s.exec("INSERT INTO ingest_batches SELECT * FROM kept"); s.exec("DROP TABLE kept SYNC") },
		},
		{
			name: "a range that is twice in the ledger of batches", make: sql("INSERT INTO ingest_batches SELECT * REPLACE (toUInt64(2) AS last) FROM ingest_batches WHERE topic = 'credits.consumption' AND first = 1"),
			want: finding{"ledger", where, "offset 2 is in two ranges", "drawdown consume --replay " + where + "/2..2"}, undo: sql("DELETE FROM ingest_batches WHERE topic = 'credits.consumption' AND first = 1 AND last = 2"),
		},
		{
			name: "a group that is past the end of the log", make: func() { commit(t, client, "ahead", partition, 99) }, flags: []string{"--kafka-group", "ahead"},
			want: finding{"offsets", where, "the group is at offset 99, the log ends at 3", "drawdown consume --epoch 2"},
		},
		{
			name: "records that went before they were counted", make: func() {
				commit(t, client, "late", partition, 0)
				deleteRecords(t, s.broker, consumption, partition, 2)
			}, flags: []string{"--kafka-group", "late"},
			want: finding{"offsets", where, "removed 2 records", "drawdown consume --resume-from-ledger"},
		},
		{
			name: "a server that loses rows of a cluster", flags: []string{"--cluster", "main"},
			want: finding{"version", "ClickHouse 26.7.2", "pull request 111196", "--only-upgrade clickhouse-server"},
		},
		{
			name: "a group that is past the ledger of batches", make: func() {
				// Up alone: its stores, which are its children, go on.
				if err := syscall.Kill(s.up.PID(), syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				send("skipped")
				commit(t, client, "skipping", partition, 4)
			}, flags: []string{"--kafka-group", "skipping"},
			want: finding{"ledger", where, "the group is at offset 4, the ledger of batches ends at 3", "drawdown consume --resume-from-ledger"}, tellsOfElse: true,
			undo: func() {
				if err := syscall.Kill(s.up.PID(), syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
			},
		},
	})
}
