package main_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// drift is a finding as `drawdown audit --json` tells it.
type drift struct {
	Table       string
	Partition   int
	First       *int64     `json:"first_offset"`
	Hour        *time.Time `json:"hour"`
	WorkspaceID string     `json:"workspace_id"`
}

// audit compares everything, or a part, and returns the exit code and what
// differs.
func (p *pipeline) audit(flags ...string) (code int, found []drift) {
	p.t.Helper()
	args := append([]string{"audit", "--json"}, p.store(p.access.Addr)...)
	code, stdout, stderr := run(p.t, append(append(args, p.sender[2:]...), flags...)...)
	var report struct{ Drift []drift }
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		p.t.Fatalf("audit exited with %d and said %q: %s", code, stdout, stderr)
	}
	if (code == 0) != (len(report.Drift) == 0) {
		p.t.Errorf("audit exited with %d and said %s", code, stdout)
	}
	return code, report.Drift
}

// replay runs `consume --replay` and returns its exit code and output.
func (p *pipeline) replay(offsets string) (code int, stdout, stderr string) {
	p.t.Helper()
	return run(p.t, append(p.consume("127.0.0.1:0"), "--replay", offsets)...)
}

func (p *pipeline) exec(statement string) {
	p.t.Helper()
	if err := p.tables.Exec(p.t.Context(), statement); err != nil {
		p.t.Fatalf("%s: %v", statement, err)
	}
}

// TestTheAuditCommandSeesDriftAndAReplayMendsIt: no consumer runs while rows are
// taken away and put in, so that the audit and the replay are all there is.
func TestTheAuditCommandSeesDriftAndAReplayMendsIt(t *testing.T) {
	t.Parallel()
	const partitions, workspace = 4, "ws_lost"
	p := newPipeline(t, storetest.Kafka(t, storetest.KafkaOptions{Partitions: partitions}), partitions)
	consumer := p.newMember()
	consumer.start()
	consumer.awaitReady()
	partition := schemas.Partition([]byte(workspace), partitions)
	hour := time.Now().UTC().Truncate(time.Hour)
	for i := range 4 { // each a range of the ledger, the first two five hours old, the others two
		at := hour.Add(-time.Duration(5-i/2*3) * time.Hour)
		produce(t, p.broker.Client(t), consumption, partition, kafka.Record{Key: kafka.NewBytes([]byte(workspace)), Value: kafka.NewBytes([]byte(exampleEvent(workspace, fmt.Sprint("event-", i), at)))})
		awaitDone(t, p.broker.Client(t), p.tables, consumption)
	}
	whole := fmt.Sprintf("%s/%d/0..3", consumption, partition)
	// The group gives the partition to one of the two: the replay refuses, or owns it and finds nothing to mend.
	code, stdout, stderr := p.replay(whole)
	refused := code == 1 && strings.Contains(stderr, "stop the consumers first")
	owned := code == 0 && strings.Contains(stdout, "\tok\t") && !strings.Contains(stdout, "repaired")
	if !refused && !owned {
		t.Errorf("beside a consumer a replay exits with %d: %s%s", code, stdout, stderr)
	}
	if code := consumer.program.Stop(); code != 0 {
		t.Fatalf("the consumer exited with %d", code)
	}
	if code, found := p.audit(); code != 0 {
		t.Fatalf("before anything is wrong the audit finds %+v", found)
	}
	at := func(hours int) string { return hour.Add(time.Duration(hours) * time.Hour).Format(time.RFC3339) }
	if code, _, stderr := run(t, append([]string{"audit", "--from", at(0), "--to", at(-1)}, p.store(p.access.Addr)...)...); code != 2 || !strings.Contains(stderr, "is not before --to") {
		t.Errorf("a range that ends before it begins: exit code %d, %s", code, stderr)
	}

	requireDrift := func(what string, table string) {
		t.Helper()
		code, found := p.audit()
		named := false
		for _, f := range found {
			named = named || f.Table == table
		}
		if code != 1 || !named {
			t.Errorf("%s: audit exits with %d and says %+v", what, code, found)
		}
	}
	requireMended := func(what string) {
		t.Helper()
		for _, state := range []string{"repaired", "ok"} { // the second time there is nothing to mend
			code, stdout, stderr := p.replay(whole)
			if code != 0 || !strings.Contains(stdout, "\t"+state+"\t") || state == "ok" && strings.Contains(stdout, "repaired") {
				t.Fatalf("%s: the replay exits with %d and says %s%s", what, code, stdout, stderr)
			}
			var rows, ids, ranges uint64
			err := p.tables.QueryRow(t.Context(), "SELECT count(), uniqExact(event_id), (SELECT count() FROM ingest_batches WHERE topic = ?) FROM events WHERE workspace_id = ?", consumption, workspace).Scan(&rows, &ids, &ranges)
			if err != nil || rows != 4 || ids != 4 || ranges != 4 {
				t.Errorf("%s: %d rows of %d events in %d ranges are counted instead of 4: %v", what, rows, ids, ranges, err)
			}
			if code, found := p.audit(); code != 0 {
				t.Errorf("%s: after the replay the audit finds %+v", what, found)
			}
		}
	}

	p.exec("DELETE FROM events WHERE event_id = 'event-1'")
	requireDrift("an event whose row is lost", "events")
	requireMended("an event whose row is lost")

	p.exec("INSERT INTO events SELECT * FROM events WHERE event_id = 'event-2'")
	requireDrift("an event that is there twice", "events")
	requireMended("an event that is there twice")

	p.exec("DELETE FROM ingest_batches WHERE topic = 'credits.consumption' AND first = 2")
	requireDrift("a range that the ledger lacks", "ingest_batches")
	requireMended("a range that the ledger lacks")

	awaitUsed(t, p.serve(), workspace, 4_000_000)
	for offsets, refused := range map[string]struct {
		code int
		says string
	}{
		"1000..1999":                         {2, "want topic/partition/from..to"},
		consumption + "/0/9..3":              {2, "is no range of offsets"},
		consumption + "/0/-1..3":             {2, "is no range of offsets"},
		"credits.unknown/0/0..3":             {2, "is no topic that is counted"},
		consumption + "/4/0..3":              {2, "has 4 partitions, from 0 to 3"},
		strings.TrimSuffix(whole, "3") + "9": {1, "were not counted yet"},
	} {
		if code, _, stderr := p.replay(offsets); code != refused.code || !strings.Contains(stderr, refused.says) {
			t.Errorf("consume --replay %s exits with %d instead of %d and says %s", offsets, code, refused.code, stderr)
		}
	}

	p.exec("INSERT INTO usage_15m SELECT * FROM usage_15m WHERE workspace_id = 'ws_lost' AND bucket < now() - INTERVAL 4 HOUR")
	requireDrift("a rollup that has too much", "usage_15m")
	for _, part := range []struct {
		flags []string
		code  int
	}{
		{[]string{"--from", at(-5), "--to", at(-4)}, 1},
		{[]string{"--from", at(-4)}, 0},
		{[]string{"--to", at(-5)}, 0},
		{[]string{"--workspace", workspace}, 1},
		{[]string{"--workspace", "ws_other"}, 0},
	} {
		if code, found := p.audit(part.flags...); code != part.code {
			t.Errorf("audit %v exits with %d and says %+v", part.flags, code, found)
		}
	}
}
