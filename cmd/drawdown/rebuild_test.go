package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/storetest"
)

// TestMigrateRebuildMakesRollupsAnew damages every rollup, makes each anew, and
// compares them with the raw events, also for events that come after.
func TestMigrateRebuildMakesRollupsAnew(t *testing.T) {
	database := storetest.ClickHouse(t)
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	conn := database.Conn(t)
	t.Setenv(passwordVariable, database.Password)
	flags := []string{"--clickhouse-addr", database.Addr, "--clickhouse-user", database.User, "--clickhouse-database", database.Name, "--kafka-brokers", broker.Addr, "--kafka-group", "counting"}
	exec := func(statements ...string) {
		t.Helper()
		for _, statement := range statements {
			if err := conn.Exec(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	add := func(token, from string) {
		t.Helper()
		exec(`INSERT INTO events (workspace_id, time, event_id, campaign_id, action, credits_micro, koff, repair)
			SETTINGS async_insert = 0, insert_deduplication_token = '` + token + `', deduplicate_blocks_in_dependent_materialized_views = 1
			SELECT 'w' || toString(number % 5), toDateTime64('` + from + `', 3, 'UTC') + number * 17, '` + token + `' || toString(number), 'c' || toString(number % 7), 'a',
			toInt64(number % 11) * 1000000 - 2000000, number, 0 FROM numbers(20000)`)
	}
	add("first", "2026-11-18 00:00:00")
	// Of a time whose raw events are gone: nothing but the rollups knows it.
	exec(`INSERT INTO usage_1m VALUES ('w1', '2024-01-01 10:07:00', 'c1', 'a', 5, 0, 1)`)
	differ := func() (n uint64) {
		t.Helper()
		const one = `SELECT workspace_id, campaign_id, toDate(b, 'UTC') AS day, sum(m) AS m, sum(r) AS r, sum(n) AS n, level FROM (
			SELECT workspace_id, campaign_id, time AS b, toInt128(credits_micro) AS m, toInt128(greatest(0, -credits_micro)) AS r, toInt64(1) AS n, 0 AS level FROM events
			UNION ALL SELECT 'w1', 'c1', '2024-01-01 10:07:00', 5, 0, 1, 0
			UNION ALL SELECT workspace_id, campaign_id, bucket, credits_micro, refunds_micro, events, 1 FROM usage_1m
			UNION ALL SELECT workspace_id, campaign_id, bucket, credits_micro, refunds_micro, events, 2 FROM usage_15m
			UNION ALL SELECT workspace_id, campaign_id, bucket, credits_micro, refunds_micro, events, 3 FROM usage_1d) GROUP BY workspace_id, campaign_id, day, level`
		err := conn.QueryRow(t.Context(), `SELECT countIf(uniqExact != 1 OR levels != 4) + (SELECT toUInt64(abs(toInt64(sum(events)) - (SELECT toInt64(sum(events)) FROM usage_15m))) FROM usage_15m_total) FROM (
			SELECT workspace_id, campaign_id, day, uniqExact(m, r, n) AS uniqExact, count() AS levels FROM (`+one+`) GROUP BY workspace_id, campaign_id, day)`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := differ(); n != 0 {
		t.Fatalf("%d keys differ before anything is damaged", n)
	}
	exec(`INSERT INTO usage_1m SELECT 'w2', '2026-11-19 00:00:00', 'c2', 'a', 7, 0, 1`, // and so in the others
		`TRUNCATE TABLE usage_15m_total`, `INSERT INTO usage_1d SELECT * FROM usage_1d LIMIT 3`,
		// What a run that was killed leaves behind.
		`CREATE TABLE usage_15m_rebuild AS usage_15m`, `INSERT INTO usage_15m_rebuild SELECT * FROM usage_15m`)
	if differ() == 0 {
		t.Fatal("nothing is damaged")
	}
	rollups := []string{"usage_1m", "usage_15m", "usage_15m_total", "usage_1d"}
	for range 2 {
		for _, rollup := range rollups {
			if _, _, err := runTool(t.Context(), t, append([]string{"migrate", "--rebuild", rollup}, flags...)...); err != nil {
				t.Fatal(err)
			}
		}
		if n := differ(); n != 0 {
			t.Fatalf("%d keys differ after all rollups were made anew", n)
		}
	}
	add("second", "2026-11-20 00:00:00") // the views write into the new tables
	add("second", "2026-11-20 00:00:00") // and deduplicate there
	if n := differ(); n != 0 {
		t.Fatalf("%d keys differ after more events", n)
	}
	var left uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE '%_rebuild'").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d tables are left behind: %v", left, err)
	}

	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: "counting", Brokers: []string{broker.Addr}, Topics: []string{broker.Topics.Consumption}, SessionTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	generation, err := group.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var usage usageError
	if _, _, err := runTool(t.Context(), t, append([]string{"migrate", "--rebuild", "usage_1d"}, flags...)...); !errors.As(err, &usage) {
		t.Errorf("while a consumer runs a rollup is made anew: %v", err)
	}
	answer, err := broker.Client(t).OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{
		GroupID: "counting", GenerationID: int(generation.ID), MemberID: generation.MemberID,
		Topics: map[string][]kafka.OffsetCommit{broker.Topics.Consumption: {{Partition: 0, Offset: 5, Metadata: "1;1;rules;5-9"}}},
	})
	if err != nil || answer.Topics[broker.Topics.Consumption][0].Error != nil {
		t.Fatalf("cannot commit an intent: %v %+v", err, answer)
	}
	if err := group.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.Wait(t, time.Minute, "a pending batch is refused", func() (bool, error) {
		_, _, err := runTool(t.Context(), t, append([]string{"migrate", "--rebuild", "usage_1d"}, flags...)...)
		return err != nil && strings.Contains(err.Error(), "pending"), nil
	})
}
