package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/consumers"
	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// TestDoctorSaysThatClocksDisagreeAndThatABrokerMayTakeEventsWithIt asks real
// stores by a clock that is wrong: that of a process cannot be moved. The topics
// have one replica although there are three brokers.
func TestDoctorSaysThatClocksDisagreeAndThatABrokerMayTakeEventsWithIt(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.BrokerConfigs(map[string]string{"message.max.bytes": "16777216", "log.retention.ms": "-1"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	broker := storetest.Broker{Addr: cluster.ListenAddrs()[0], Topics: schemas.DefaultTopics(), Cluster: cluster}
	err = schemas.CreateTopics(t.Context(), broker.Client(t), schemas.CreateTopicsConfig{Topics: broker.Topics, Partitions: 4, ReplicationFactor: 1, ConsumptionRetention: -1})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := broker.Client(t).Produce(t.Context(), &kafka.ProduceRequest{
		Topic: broker.Topics.Consumption, Partition: 2, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(kafka.Record{Time: time.Now(), Value: kafka.NewBytes([]byte("x"))}),
	})
	if err = errors.Join(err, answer.Error); err != nil {
		t.Fatal(err)
	}
	database := storetest.ClickHouse(t)
	t.Setenv(passwordVariable, database.Password)
	examine := func(wrong time.Duration) (found []problem) {
		t.Helper()
		c := doctorCmd{
			kafkaFlags: kafkaFlags{Brokers: []string{broker.Addr}, topicFlags: topicFlags{
				ConsumptionTopic: broker.Topics.Consumption, LedgerTopic: broker.Topics.Ledger, CampaignsTopic: broker.Topics.Campaigns, AlertsTopic: broker.Topics.Alerts,
			}},
			clickhouseFlags: clickhouseFlags{Addr: database.Addr, User: database.User, Database: database.Name},
			countingFlags:   countingFlags{Group: "drawdown", Epoch: 1},
			StuckAfter:      time.Minute, MaxParts: 300, SlowMerge: time.Hour, MaxSkew: 10 * time.Second, JSON: true,
		}
		if err := c.EventsTTL.UnmarshalText([]byte("13mo")); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := c.Run(t.Context(), &env{Log: slog.New(slog.DiscardHandler), Stdout: &out, Now: func() time.Time { return time.Now().Add(wrong) }})
		if !errors.Is(err, errProblems) {
			t.Fatalf("doctor says %v", err)
		}
		var report struct{ Problems []problem }
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			t.Fatal(err)
		}
		return report.Problems
	}
	has := func(found []problem, check, where, what, fix string) bool {
		return slices.ContainsFunc(found, func(p problem) bool {
			return p.Check == check && strings.Contains(p.Where, where) && strings.Contains(p.What, what) && strings.Contains(p.Fix, fix)
		})
	}
	// A coordinator that moves is asked again.
	refused := 0
	cluster.ControlKey(kmsg.DescribeGroups.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		if refused++; refused > 2 {
			return nil, nil, false
		}
		cluster.KeepControl()
		response := request.ResponseKind().(*kmsg.DescribeGroupsResponse)
		group := kmsg.NewDescribeGroupsResponseGroup()
		group.Group, group.ErrorCode = "drawdown", int16(kafka.NotCoordinatorForGroup)
		response.Groups = append(response.Groups, group)
		return response, nil, true
	})
	right := examine(0)
	if refused < 2 || !has(right, "group", "drawdown", "no consumer is in the group", "drawdown consume") {
		t.Errorf("of a group whose coordinator moves (asked %d times) doctor says %+v", refused, right)
	}
	if !has(right, "replicas", "credits.consumption/0", "one replica although there are 3 brokers", "kafka-reassign-partitions.sh") || has(right, "clock", "", "", "") {
		t.Errorf("by a clock that is right doctor says %+v", right)
	}
	ahead := examine(time.Hour)
	if !has(ahead, "clock", "ClickHouse", "its clock is -", "chronyc makestep") || has(ahead, "clock", "credits.consumption", "", "") {
		t.Errorf("an hour ahead doctor says %+v", ahead)
	}
	behind := examine(-time.Hour)
	if !has(behind, "clock", "ClickHouse", "its clock is 1h0m0", "chronyc makestep") && !has(behind, "clock", "ClickHouse", "its clock is 59m59", "chronyc makestep") || !has(behind, "clock", "credits.consumption/2/0", "ahead of this clock", "chronyc makestep") {
		t.Errorf("an hour behind doctor says %+v", behind)
	}
}

// TestDoctorKnowsVersionsAndReplicasThatLoseRows is about what the engine of the
// tests cannot be made into, in the form in which servers say it.
func TestDoctorKnowsVersionsAndReplicasThatLoseRows(t *testing.T) {
	for _, c := range []struct {
		version    string
		replicated bool
		says       string
	}{
		{"25.8.11.66", false, "older than 26.2"}, {"26.1.3.2", false, "older than 26.2"}, {"26.1.3.2", true, "older than 26.2"}, {"24.3", false, "older than 26.2"},
		{"26.2.1.1", false, ""}, {"26.2.9.1", true, "111196"}, {"26.3.33.60", true, "111196"}, {"26.3.33.61", true, ""}, {"26.4.5.6", true, "111196"},
		{"26.6.5.113", true, "111196"}, {"26.6.5.114", true, ""}, {"26.7.2.1", false, ""}, {"26.7.2.1", true, "111196"}, {"26.7.7.87", true, ""},
		{"26.7.7.87.altinitystable", true, ""}, {"26.8.3.97", true, "111196"}, {"26.8.3.98", true, ""}, {"26.9.1.1", true, ""}, {"27.1.2.3", true, ""},
	} {
		if what := badVersion(c.version, c.replicated); (what == "") != (c.says == "") || !strings.Contains(what, c.says) {
			t.Errorf("of %s (replicated: %v) doctor says %q", c.version, c.replicated, what)
		}
	}
	for _, c := range []struct {
		readonly bool
		delay    time.Duration
		says     string
	}{
		{false, 0, ""}, {false, 4 * time.Minute, ""}, {false, time.Hour, "is 1h0m0s behind"}, {true, 0, "takes no rows"}, {true, time.Hour, "takes no rows"},
	} {
		if what := badReplica(c.readonly, c.delay); (what == "") != (c.says == "") || !strings.Contains(what, c.says) {
			t.Errorf("of a replica (read-only: %v, %s behind) doctor says %q", c.readonly, c.delay, what)
		}
	}
	three := []kafka.Broker{{ID: 1}, {ID: 2}, {ID: 3}}
	for _, c := range []struct {
		partition kafka.Partition
		brokers   int
		says, fix string
	}{
		{kafka.Partition{Replicas: three, Isr: three}, 3, "", ""},
		{kafka.Partition{Replicas: three[:1], Isr: three[:1]}, 1, "", ""},
		{kafka.Partition{Replicas: three, Isr: three[:2]}, 3, "2 of 3 replicas are in sync", "--under-replicated-partitions"},
		{kafka.Partition{Replicas: three[:1], Isr: three[:1]}, 3, "one replica although there are 3 brokers", "kafka-reassign-partitions.sh"},
		{kafka.Partition{Error: kafka.LeaderNotAvailable, Replicas: three}, 3, "has no leader", "--unavailable-partitions"},
	} {
		if what, fix := badPartition(c.partition, c.brokers); (what == "") != (c.says == "") || !strings.Contains(what, c.says) || !strings.Contains(fix, c.fix) {
			t.Errorf("of %+v doctor says %q and %q", c.partition, what, fix)
		}
	}
}

// TestDoctorSeesWhatNobodyCountsOrAudits: a database that is another one than the
// group's, a partition that was never taken over, and an audit that stands still
// leave no row that could say so.
func TestDoctorSeesWhatNobodyCountsOrAudits(t *testing.T) {
	conn, now := storetest.ClickHouse(t).Conn(t), time.Now()
	topic := string(schemas.ConsumptionTopic)
	examine := func(parts ...logPart) (found []string) {
		t.Helper()
		x := &examination{
			doctorCmd: &doctorCmd{countingFlags: countingFlags{Group: "drawdown", Epoch: 1}, StuckAfter: time.Minute},
			env:       &env{Now: func() time.Time { return now }}, client: &kafka.Client{}, conn: conn, log: kafkaState{parts: map[string][]logPart{topic: parts}},
		}
		if err := errors.Join(x.positions(t.Context()), x.audited(t.Context())); err != nil {
			t.Fatal(err)
		}
		for _, p := range x.problems {
			found = append(found, p.Check+" "+p.Where+": "+p.What)
		}
		return found
	}
	require := func(found []string, parts ...string) {
		t.Helper()
		if len(found) != len(parts) {
			t.Errorf("doctor says %q, want %q", found, parts)
			return
		}
		for i, part := range parts {
			if !strings.Contains(found[i], part) {
				t.Errorf("doctor says %q, want %q", found[i], part)
			}
		}
	}
	exec := func(statement string, args ...any) {
		t.Helper()
		if err := conn.Exec(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	idle, waiting := logPart{committed: -1}, logPart{end: 7, committed: -1}
	moved := logPart{end: 7, committed: 7, accounted: 7}
	require(examine(idle, idle))
	require(examine(idle, waiting), "progress credits.consumption/1: 7 records wait and none was ever counted")
	require(examine(moved, idle), "ledger credits.consumption/0: the group is at offset 7 and this database has counted nothing of epoch 1")
	// The ledger knows of a batch before its partition says how far it is.
	exec(`INSERT INTO ingest_batches (topic, epoch, kpart, first, last, records, inserted, last_koff, last_time) VALUES (?, 1, 0, 0, 6, 7, 7, 6, ?)`, topic, now)
	require(examine(moved, waiting), "progress credits.consumption/1: 7 records wait")
	require(examine(moved, idle))
	now = now.Add(time.Hour)
	require(examine(moved, idle), "audit database : nobody has ever audited")
	exec(`INSERT INTO audit_progress (epoch, topic, kpart, next, at) VALUES (1, '', 3, 1, ?)`, now)
	require(examine(moved, idle))
	now = now.Add(time.Hour)
	require(examine(moved, idle), "audit database : nobody has audited what is counted for 1h0m")
	exec(`INSERT INTO audit_progress (epoch, topic, kpart, next, at) VALUES (1, '', 3, 2, ?)`, now)
	// Parked with nothing to do, as when the offsets of the group were set back.
	exec(`INSERT INTO ingest_progress (topic, epoch, kpart, next_offset, watermark, at) VALUES (?, 1, 0, 7, ?, ?)`, topic, now, now)
	back, killed := logPart{end: 7, committed: 3, accounted: 3}, logPart{end: 7, committed: 3, accounted: consumers.Accounted("1;1;r;3-4,5-6", 3)}
	require(examine(moved, idle))
	require(examine(back, idle)) // it may be about to commit
	now = now.Add(2 * time.Minute)
	require(examine(moved, idle), "progress credits.consumption/0: no record waits, but nobody has looked for 2m")
	require(examine(killed, idle), "progress credits.consumption/0") // after its INSERT, before its commit
	require(examine(back, idle), "ledger credits.consumption/0: the group is at offset 3, though all before 7 is counted", "progress credits.consumption/0")
}
