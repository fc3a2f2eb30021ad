package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// rebuildArgs is the command line that makes a rollup anew.
func (p *pipeline) rebuildArgs(table string, flags ...string) []string {
	return slices.Concat([]string{"migrate", "--rebuild", table}, p.store(p.access.Addr), flags)
}

// TestMigrateRebuildMakesRollupsAnew damages every rollup and makes each anew
// beside a running consumer; what is only in the rollups is kept.
func TestMigrateRebuildMakesRollupsAnew(t *testing.T) {
	t.Parallel()
	const partitions = 4
	p := newPipeline(t, storetest.Kafka(t, storetest.KafkaOptions{Partitions: partitions}), partitions)
	client := p.broker.Client(t)
	events := func(prefix string) {
		t.Helper()
		records := make([][]kafka.Record, partitions)
		for i := range 200 {
			workspace := fmt.Sprintf("ws_%d", i%7)
			id := schemas.Partition([]byte(workspace), partitions)
			records[id] = append(records[id], kafka.Record{Key: kafka.NewBytes([]byte(workspace)), Value: kafka.NewBytes([]byte(exampleEvent(workspace, fmt.Sprint(prefix, i), time.Now().Add(-time.Duration(i)*time.Minute))))})
		}
		for id, some := range records {
			produce(t, client, consumption, id, some...)
		}
		awaitDone(t, client, p.tables, consumption)
	}
	consumer := p.newMember()
	consumer.start()
	consumer.awaitReady()
	events("first")
	// Of a time whose raw events are gone: nothing but the rollups knows it.
	p.exec(`INSERT INTO usage_1m VALUES ('ws_1', '2024-01-01 10:07:00', 'c1', 'a', 5, 0, 1)`)
	p.exec(`INSERT INTO usage_1m SELECT workspace_id, '2026-01-01 00:00:00', 'c2', 'a', 7, 0, 1 FROM events LIMIT 20`) // and so in the others
	p.exec(`TRUNCATE TABLE usage_15m_total`)
	if code, _ := p.audit("--from", "2025-12-31T00:00:00Z"); code != 1 {
		t.Fatal("nothing is damaged")
	}

	// Without a consumer nobody fills anything in; what was begun is gone on with,
	// and nothing else is begun meanwhile.
	if code := consumer.program.Stop(); code != 0 {
		t.Fatalf("the consumer exited with %d", code)
	}
	waiting := start(t, p.rebuildArgs("usage_1m")...)
	storetest.Wait(t, settleWithin, "the command says that it waits", func() (bool, error) {
		return strings.Contains(waiting.Stderr.String(), "waits for a consumer"), nil
	})
	if code := waiting.Stop(); code != 1 || !strings.Contains(waiting.Stderr.String(), "run the same again to go on") {
		t.Errorf("stopped, the command exits with %d and says %s", code, waiting.Stderr)
	}
	if code, _, stderr := run(t, p.rebuildArgs("usage_1d")...); code != 1 || !strings.Contains(stderr, "--rebuild usage_1m --give-up") {
		t.Errorf("a second rebuild exits with %d and says %s", code, stderr)
	}
	consumer.start()
	for _, l := range rollup.Levels {
		mustRun(t, p.rebuildArgs(l.Table)...)
	}
	if code, found := p.audit("--from", "2025-12-31T00:00:00Z"); code != 0 {
		t.Errorf("after all were made anew the audit finds %+v", found)
	}
	events("second") // through the views into the new tables
	if code, found := p.audit("--from", "2025-12-31T00:00:00Z"); code != 0 {
		t.Errorf("after more events the audit finds %+v", found)
	}
	for _, l := range rollup.Levels {
		var total, aged int64
		err := p.tables.QueryRow(t.Context(), "SELECT sum(events), sumIf(events, bucket < '2025-01-01') FROM "+l.Table).Scan(&total, &aged)
		if err != nil || total != 401 || aged != 1 {
			t.Errorf("%s has %d events, %d of them of 2024, instead of 401 and 1: %v", l.Table, total, aged, err)
		}
	}

	// Given up, the old table stays as it is.
	consumer.program.Kill()
	p.exec(`INSERT INTO usage_1d SELECT * FROM usage_1d WHERE bucket < '2025-01-01'`)
	waiting = start(t, p.rebuildArgs("usage_1d")...)
	storetest.Wait(t, settleWithin, "the command says that it waits", func() (bool, error) {
		return strings.Contains(waiting.Stderr.String(), "waits for a consumer"), nil
	})
	waiting.Kill()
	mustRun(t, p.rebuildArgs("usage_1d", "--give-up")...)
	consumer.start()
	events("third")
	var total int64
	if err := p.tables.QueryRow(t.Context(), "SELECT sum(events) FROM usage_1d").Scan(&total); err != nil || total != 602 {
		t.Errorf("usage_1d has %d events instead of 602 after a rebuild that was given up: %v", total, err)
	}
	if code, _, stderr := run(t, p.rebuildArgs("usage_1d", "--give-up")...); code != 1 || !strings.Contains(stderr, "no rebuild of usage_1d is under way") {
		t.Errorf("giving up what is not under way exits with %d and says %s", code, stderr)
	}
	var left uint64
	if err := p.tables.QueryRow(t.Context(), "SELECT count() FROM system.tables WHERE database = currentDatabase() AND (name LIKE '%\\_rebuild\\_%' OR name LIKE '%\\_replaced\\_%')").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d tables are left behind: %v", left, err)
	}

	const finding = `INSERT INTO audits (topic, epoch, kpart, what, first, last, workspace_id, first_seen_at, state, step) VALUES ('credits.consumption', 1, 0, `
	for _, missing := range []struct{ place, state, says string }{
		{`'events', 5, 9, '', '2026-11-01', `, `'drift', 1)`, "are not yet mended"},
		{`'usage_1m', 0, 0, 'ws_1', '2026-10-31', `, `'drift', 1)`, "are not yet mended or proven"},
		{`'usage_1m', 0, 0, 'ws_1', '2026-11-01', `, `'unprovable', 3)`, "are missing for good"}, // of an earlier epoch
		{`'events', 5, 9, '', '2026-11-02', `, `'unprovable', 3)`, "are missing for good"},
	} {
		p.exec(finding + missing.place + missing.state)
		if code, _, stderr := run(t, p.rebuildArgs("usage_1m")...); code != 2 || !strings.Contains(stderr, missing.says) || !strings.Contains(stderr, "--accept-missing-events") {
			t.Errorf("where raw events are missing (%+v) the command exits with %d and says %s", missing, code, stderr)
		}
		if missing.place != `'events', 5, 9, '', '2026-11-02', ` {
			p.exec(finding + missing.place + `'repaired', 4)`)
		}
	}
	mustRun(t, p.rebuildArgs("usage_1m", "--accept-missing-events")...)
	for _, wrong := range [][]string{{"--give-up"}, {"--rebuild", "usage_1h"}, {"--rebuild", "usage_1d", "--cluster", "all"}} {
		if code, _, _ := run(t, slices.Concat([]string{"migrate"}, p.store(p.access.Addr), wrong)...); code != 2 {
			t.Errorf("migrate %v exits with %d instead of 2", wrong, code)
		}
	}
}
