package main_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// finding is a problem as doctor --json tells it.
type finding struct{ Check, Where, What, Fix string }

// in is the place of the finding that has the parts of this one; -1: none has.
func (f finding) in(found []finding) int {
	return slices.IndexFunc(found, func(is finding) bool {
		return is.Check == f.Check && strings.Contains(is.Where, f.Where) && strings.Contains(is.What, f.What) && strings.Contains(is.Fix, f.Fix)
	})
}

// doctor examines a stack and returns the exit code and what it found.
func (s *stack) doctor(flags ...string) (code int, found []finding) {
	s.t.Helper()
	if !slices.Contains(flags, "--kafka-brokers") { // a list: what is said twice adds up
		flags = append([]string{"--kafka-brokers", s.broker}, flags...)
	}
	return doctor(s.t, append([]string{"--data", s.data, "--ops", s.ops}, flags...)...)
}

func doctor(t testing.TB, flags ...string) (code int, found []finding) {
	t.Helper()
	code, stdout, stderr := run(t, append([]string{"doctor", "--json"}, flags...)...)
	var report struct {
		Healthy  bool
		Problems []finding
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		t.Fatalf("doctor exited with %d and said %q: %s", code, stdout, stderr)
	}
	if report.Healthy != (code == 0) || report.Healthy != (len(report.Problems) == 0) {
		t.Errorf("doctor exited with %d and said %s", code, stdout)
	}
	return code, report.Problems
}

// wrong is something that is wrong with a stack.
type wrong struct {
	name        string
	make        func()   // nil: the flags make it so
	flags       []string // of doctor
	want        finding  // parts of one problem
	undo        func()   // nil: it stays
	cured       bool     // by the statement that doctor says, in place of undo
	tellsOfElse bool     // it makes other things wrong as well
}

// statement is the SQL of a fix.
var statement = regexp.MustCompile(`--query "([^"]*)"`)

// requireTold makes one thing after the other wrong, and requires that doctor
// names it and what cures it, exits with 1, and is content once it is undone.
func (s *stack) requireTold(wrongs []wrong) {
	s.t.Helper()
	for _, w := range wrongs {
		if w.make != nil {
			w.make()
		}
		code, found := s.doctor(w.flags...)
		named := w.want.in(found)
		if code != 1 || named < 0 {
			s.t.Errorf("%s: doctor exits with %d and says %+v", w.name, code, found)
		}
		if i := slices.IndexFunc(found, func(f finding) bool { return f.Fix == "" }); i >= 0 {
			s.t.Errorf("%s: doctor does not say what cures %+v", w.name, found[i])
		}
		switch {
		case w.cured && named >= 0:
			said := statement.FindStringSubmatch(found[named].Fix)
			if said == nil {
				s.t.Errorf("%s: there is no statement in %q", w.name, found[named].Fix)
				continue
			}
			s.exec(said[1])
		case w.undo != nil:
			w.undo()
		default:
			continue
		}
		if w.tellsOfElse {
			continue
		}
		// The audit may have seen it meanwhile, and says that it is gone when it
		// looks again.
		storetest.Wait(s.t, settleWithin, w.name+" was undone, and doctor says so", func() (bool, error) {
			code, found := s.doctor()
			if slices.ContainsFunc(found, func(f finding) bool { return f.Check != "drift" }) {
				return false, fmt.Errorf("doctor says %+v", found)
			}
			return code == 0, nil
		})
	}
}

// exec runs a statement in the stack's ClickHouse.
func (s *stack) exec(statement string, args ...any) {
	s.t.Helper()
	if err := s.tables().Exec(s.t.Context(), statement, args...); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

func TestDoctorNamesWhatIsWrongAndWhatCuresIt(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	client, tables := s.client(), s.tables()
	now := time.Now().UTC()
	produce(t, client, consumption, schemas.Partition([]byte("ws_doctor"), schemas.EmbeddedPartitions),
		kafka.Record{Key: kafka.NewBytes([]byte("ws_doctor")), Value: kafka.NewBytes([]byte(exampleEvent("ws_doctor", "one", now)))})
	awaitDone(t, client, tables, consumption)
	if code, found := s.doctor(); code != 0 {
		t.Fatalf("of a healthy stack doctor says: %+v", found)
	}
	if code, _, _ := run(t, "doctor", "--max-parts", "many"); code != 2 {
		t.Errorf("a wrong command line exits with %d", code)
	}

	sql := func(statement string) func() { return func() { t.Helper(); s.exec(statement) } }
	config := func(topic, name, value string) func() {
		return func() { t.Helper(); configure(t, client, topic, name, value) }
	}
	ledgerTopic := string(schemas.LedgerTopic)
	newest, err := schemas.NewestMigration()
	if err != nil {
		t.Fatal(err)
	}
	applied := func(is, seconds int) func() {
		return sql(fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied, tstamp) VALUES (%d, %d, now() + %d)", newest, is, seconds))
	}
	s.requireTold([]wrong{
		{
			name: "a rollup that does not deduplicate", make: sql("ALTER TABLE usage_15m MODIFY SETTING non_replicated_deduplication_window = 0"),
			want: finding{"settings", "usage_15m", "counted twice", "ALTER TABLE usage_15m MODIFY SETTING non_replicated_deduplication_window = 50000"},
			undo: sql("ALTER TABLE usage_15m MODIFY SETTING non_replicated_deduplication_window = 50000"),
		},
		{
			name: "a table that a power cut hurts", make: sql("ALTER TABLE events MODIFY SETTING fsync_after_insert = 0"),
			want: finding{"settings", "events", "power cut", "MODIFY SETTING fsync_after_insert = 1"}, undo: sql("ALTER TABLE events MODIFY SETTING fsync_after_insert = 1"),
		},
		{
			name: "a view that is gone", make: sql("DETACH TABLE usage_1d_view"),
			want: finding{"views", "usage_1d_view", "usage_1d gets nothing", "ATTACH TABLE usage_1d_view"}, undo: sql("ATTACH TABLE usage_1d_view"),
		},
		{
			name: "a second view into a rollup", make: sql("CREATE MATERIALIZED VIEW copy_view TO usage_1d AS SELECT * FROM usage_1d WHERE 0"),
			want: finding{"views", "usage_1d", "2 views", "DROP VIEW copy_view"}, undo: sql("DROP TABLE copy_view SYNC"),
		},
		{
			name: "a rebuild that nobody finishes", make: sql("INSERT INTO rebuilds (number, rollup, step, at) VALUES (1, 'usage_1d', 1, now64(3) - 1000)"),
			want: finding{"rebuild", "usage_1d", "nothing has been done", "drawdown migrate --rebuild usage_1d"}, undo: sql("TRUNCATE TABLE rebuilds"),
		},
		{
			name: "a newer database", make: sql("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)"),
			want: finding{"migrations", "database drawdown", "99999", "newer release"}, undo: sql("INSERT INTO goose_db_version (version_id, is_applied, tstamp) VALUES (99999, 0, now() + 5)"),
		},
		{
			name: "a migration that is missing", make: applied(0, 5),
			want: finding{"migrations", "database drawdown", "this program needs", "drawdown migrate"}, undo: applied(1, 10),
		},
		{
			name: "a mutation that fails", make: sql("ALTER TABLE campaign_activity DELETE WHERE throwIf(last_event_at > '2000-01-01', 'stuck') SETTINGS mutations_sync = 0"),
			want: finding{"mutations", "campaign_activity", "stuck", "KILL MUTATION"}, undo: sql("KILL MUTATION WHERE table = 'campaign_activity'"),
		},
		{
			name: "drift", make: sql(`INSERT INTO audits (topic, epoch, kpart, what, workspace_id, hour, first_seen_at, state, step)
				VALUES ('credits.consumption', 1, 0, 'usage_1m', 'ws_doctor', '2026-11-01 00:00:00', now64(3), 'drift', 1)`),
			want: finding{"drift", "usage_1m, credits.consumption/0", "1 differences", "drawdown audit"}, undo: sql("TRUNCATE TABLE audits"),
		},
		{
			name: "events that are lost within the hour", make: config(consumption, "retention.ms", "3600000"),
			want: finding{"retention", consumption, "1h0m0s", "retention.ms=1209600000"}, undo: config(consumption, "retention.ms", "-1"),
		},
		{
			name: "grants that age out", make: config(ledgerTopic, "retention.ms", "86400000"),
			want: finding{"retention", ledgerTopic, "86400000", "retention.ms=-1"}, undo: config(ledgerTopic, "retention.ms", "-1"),
		},
		{
			name: "a topic that is compacted", make: config(consumption, "cleanup.policy", "compact"),
			want: finding{"cleanup.policy", consumption, "compact", "cleanup.policy=delete"}, undo: config(consumption, "cleanup.policy", "delete"),
		},
		{
			name: "small messages", make: config(consumption, "max.message.bytes", "1000012"),
			want: finding{"max.message.bytes", consumption, "1000012", "max.message.bytes=16777216"}, undo: config(consumption, "max.message.bytes", "16777216"),
		},
		{name: "another retention of events", flags: []string{"--events-ttl", "400d"}, want: finding{"ttl", "events", "400d", "drawdown migrate --events-ttl 400d"}},
		{name: "another epoch", flags: []string{"--epoch", "2"}, want: finding{"epoch", "drawdown", "is 1, configured is 2", "--epoch 1"}},
		{name: "another partition count", flags: []string{"--partitions", "8"}, want: finding{"partitions", consumption, "4 partitions instead of 8", "--partitions"}},
		{name: "nobody consumes", flags: []string{"--kafka-group", "nobody"}, want: finding{"group", "nobody", "nothing is counted", "drawdown consume --kafka-group nobody"}},
		{name: "a full disk", flags: []string{"--min-free-percent", "100"}, want: finding{"disk", "disk default", "are free", "--events-ttl"}},
		{name: "no ops port", flags: []string{"--ops", storetest.FreeAddr(t)}, want: finding{"ops", "127.0.0.1", "does not answer", "--ops-listen"}},
		{name: "no Kafka", flags: []string{"--kafka-brokers", storetest.FreeAddr(t)}, want: finding{"kafka", "127.0.0.1", "cannot reach Kafka", "--kafka-brokers"}},
		{name: "no ClickHouse", flags: []string{"--clickhouse-addr", storetest.FreeAddr(t)}, want: finding{"clickhouse", "ClickHouse", "cannot reach", "--clickhouse-addr"}},
		{
			name: "too many parts", make: func() {
				sql("SYSTEM STOP MERGES campaign_activity")()
				for range 8 {
					sql("INSERT INTO campaign_activity SELECT * FROM campaign_activity LIMIT 1")()
				}
			}, flags: []string{"--max-parts", "7"},
			want: finding{"parts", "campaign_activity", "active parts", "SYSTEM START MERGES campaign_activity"}, undo: sql("SYSTEM START MERGES campaign_activity"), tellsOfElse: true,
		},
		{
			name: "a clock that is ahead", make: func() {
				at := now.Add(time.Hour)
				produce(t, client, consumption, schemas.Partition([]byte("ws_doctor"), schemas.EmbeddedPartitions),
					kafka.Record{Time: at, Key: kafka.NewBytes([]byte("ws_doctor")), Value: kafka.NewBytes([]byte(exampleEvent("ws_doctor", "ahead", now)))})
			},
			want: finding{"clock", consumption, "ahead of this clock", "chronyc"}, tellsOfElse: true,
		},
		{
			name: "a producer with another partitioner", make: func() {
				produce(t, client, consumption, (schemas.Partition([]byte("ws_doctor"), schemas.EmbeddedPartitions)+1)%schemas.EmbeddedPartitions,
					kafka.Record{Key: kafka.NewBytes([]byte("ws_doctor")), Value: kafka.NewBytes([]byte(exampleEvent("ws_doctor", "astray", now)))})
				awaitDone(t, client, tables, consumption)
			},
			want: finding{"routing", consumption, "murmur2", "partitioner=murmur2_random"}, tellsOfElse: true,
		},
		{
			name: "events from the future", make: func() {
				produce(t, client, consumption, schemas.Partition([]byte("ws_doctor"), schemas.EmbeddedPartitions),
					kafka.Record{Key: kafka.NewBytes([]byte("ws_doctor")), Value: kafka.NewBytes([]byte(exampleEvent("ws_doctor", "future", now.Add(time.Hour))))})
				awaitDone(t, client, tables, consumption)
			},
			want: finding{"rejections", "ws_doctor", "in_future", "drawdown rejections list --code in_future"}, tellsOfElse: true,
		},
		{
			name: "a topic that has got more partitions", make: func() {
				answer, err := client.CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: ledgerTopic, Count: 6}}})
				if err == nil {
					err = answer.Errors[ledgerTopic]
				}
				if err != nil {
					t.Fatal(err)
				}
				storetest.Wait(t, settleWithin, "a partition is parked", func() (bool, error) {
					_, found := s.doctor()
					return slices.ContainsFunc(found, func(f finding) bool { return f.Check == "parked" }), nil
				})
			},
			want: finding{"partitions", ledgerTopic, "6 partitions instead of 4", "--epoch 2"}, tellsOfElse: true,
		},
		{name: "a parked partition", want: finding{"parked", "credits.", "the partition is parked", "/readyz"}, tellsOfElse: true},
		{
			name: "a partition that stands still", make: func() {
				produce(t, client, consumption, schemas.Partition([]byte("ws_doctor"), schemas.EmbeddedPartitions),
					kafka.Record{Key: kafka.NewBytes([]byte("ws_doctor")), Value: kafka.NewBytes([]byte(exampleEvent("ws_doctor", "stuck", now)))})
			},
			flags: []string{"--stuck-after", "1ms"},
			want:  finding{"progress", consumption, "records wait", "/readyz"}, tellsOfElse: true,
		},
	})
}

// configure changes a setting of a topic.
func configure(t testing.TB, client *kafka.Client, topic, name, value string) {
	t.Helper()
	answer, err := client.IncrementalAlterConfigs(t.Context(), &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: name, Value: value, ConfigOperation: kafka.ConfigOperationSet}},
	}}})
	if err == nil {
		err = answer.Resources[0].Error
	}
	if err != nil {
		t.Fatalf("%s of %s: %v", name, topic, err)
	}
}
