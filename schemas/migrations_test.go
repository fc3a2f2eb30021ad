package schemas_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// migrate migrates database by a pool that stands in another one, and returns
// what was logged.
func migrate(t *testing.T, database *storetest.Database, ttl string) string {
	t.Helper()
	options := database.Options()
	options.Auth.Database = "default"
	db := clickhouse.OpenDB(options)
	db.SetMaxOpenConns(1)
	defer func() { _ = db.Close() }()
	parsed, err := schemas.ParseEventsTTL(ttl)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	err = schemas.Migrate(t.Context(), db, schemas.MigrateOptions{
		Database:  database.Name,
		EventsTTL: parsed,
		Log:       slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	var current string
	if err := db.QueryRowContext(t.Context(), "SELECT currentDatabase()").Scan(&current); err != nil {
		t.Fatal(err)
	}
	if current != "default" {
		t.Errorf("Migrate left the pool in database %s", current)
	}
	return log.String()
}

func eventsTable(t *testing.T, database *storetest.Database) string {
	t.Helper()
	var text string
	row := database.Conn(t).QueryRow(t.Context(), "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'events'")
	if err := row.Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestMigrateAgainChangesNothing(t *testing.T) {
	database := storetest.ClickHouse(t) // migrated, events kept for ever
	before := eventsTable(t, database)
	if strings.Contains(before, " TTL ") {
		t.Errorf("events that are kept for ever have a TTL: %s", before)
	}
	if log := migrate(t, database, "0"); log != "" {
		t.Errorf("migrating again did something: %s", log)
	}
	if after := eventsTable(t, database); after != before {
		t.Errorf("events was\n%s\nis\n%s", before, after)
	}
}

func TestEventsTTLIsSetWhenItDiffersAndIs60DaysLonger(t *testing.T) {
	database := storetest.ClickHouse(t)
	for _, step := range []struct {
		ttl     string
		changes bool
		want    string
	}{
		{"13mo", true, " TTL (inserted_at + toIntervalMonth(13)) + toIntervalDay(60) "},
		{"13mo", false, " TTL (inserted_at + toIntervalMonth(13)) + toIntervalDay(60) "},
		{"400d", true, " TTL (inserted_at + toIntervalDay(400)) + toIntervalDay(60) "},
		{"400d", false, " TTL (inserted_at + toIntervalDay(400)) + toIntervalDay(60) "},
		{"0", true, " SETTINGS "},
		{"0", false, " SETTINGS "},
	} {
		log := migrate(t, database, step.ttl)
		if changed := strings.Contains(log, "events TTL changed"); changed != step.changes {
			t.Errorf("setting %s changed it: %v", step.ttl, changed)
		}
		table := eventsTable(t, database)
		if !strings.Contains(table, step.want) || step.ttl == "0" && strings.Contains(table, " TTL ") {
			t.Errorf("with %s: %s", step.ttl, table)
		}
	}
}

func TestTTLKeepsEventsOfAnyAge(t *testing.T) {
	for _, ttl := range []string{"70d", "13mo", "60mo"} {
		database := storetest.ClickHouse(t)
		migrate(t, database, ttl)
		conn := database.Conn(t)
		if err := conn.Exec(t.Context(), `INSERT INTO events (workspace_id, time, event_id)
			VALUES ('ws_acme', '2000-01-01 00:00:00', 'e1'), ('ws_acme', '2099-12-31 23:59:59.999', 'e2')`); err != nil {
			t.Fatal(err)
		}
		if err := conn.Exec(t.Context(), "OPTIMIZE TABLE events FINAL"); err != nil {
			t.Fatal(err)
		}
		var rows uint64
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM events").Scan(&rows); err != nil || rows != 2 {
			t.Errorf("%s: %d rows of 2, %v", ttl, rows, err)
		}
	}
}

func TestMigrateRefusesWhatItCannotDo(t *testing.T) {
	database := storetest.ClickHouse(t)
	options := database.Options()
	options.Addr = []string{database.HTTPAddr}
	options.Protocol = clickhouse.HTTP
	options.Auth.Database = "default"
	db := clickhouse.OpenDB(options)
	defer func() { _ = db.Close() }()
	err := schemas.Migrate(t.Context(), db, schemas.MigrateOptions{Database: database.Name})
	if err == nil || !strings.Contains(err.Error(), "native protocol") {
		t.Errorf("over HTTP: %v", err)
	}
	for _, name := range []string{"", "a b", "a`b", "1a", strings.Repeat("a", 65)} {
		if err := schemas.Migrate(t.Context(), db, schemas.MigrateOptions{Database: name}); err == nil {
			t.Errorf("database %q was accepted", name)
		}
		if name != "" {
			if err := schemas.Migrate(t.Context(), db, schemas.MigrateOptions{Database: "a", Cluster: name}); err == nil {
				t.Errorf("cluster %q was accepted", name)
			}
		}
	}
}

func TestViewsShowPlainUnitsAndExplainEveryColumn(t *testing.T) {
	database := storetest.ClickHouse(t)
	conn := database.Conn(t)
	if err := conn.Exec(t.Context(), `INSERT INTO events (workspace_id, time, event_id, campaign_id, credits_micro) VALUES
		('ws_acme', '2026-11-22 09:00:07.123', 'e1', 'cmp_7', 1500000),
		('ws_acme', '2026-11-22 09:14:59.999', 'e2', 'cmp_7', -250001),
		('ws_acme', '2026-11-22 09:15:00.000', 'e3', 'cmp_7', 1000000000000)`); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"SELECT toString(groupArray(credits)) FROM (SELECT credits FROM v_events ORDER BY time)":                                                            "[1.5,-0.250001,1000000]",
		"SELECT toString(groupArray((bucket, credits, refunds, events))) FROM (SELECT * FROM v_usage WHERE workspace_id = 'ws_acme' ORDER BY bucket)":       "[('2026-11-22 09:00:00',1.249999,0.250001,2),('2026-11-22 09:15:00',1000000,0,1)]",
		"SELECT toString(groupArray(concat(table, '.', name))) FROM system.columns WHERE database = currentDatabase() AND table LIKE 'v%' AND comment = ''": "[]",
	} {
		var got string
		if err := conn.QueryRow(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s\n= %s, %v\nwant %s", query, got, err, want)
		}
	}
}

func TestHistoryViewsShowTheLedgerAndUsage(t *testing.T) {
	conn := storetest.ClickHouse(t).Conn(t)
	for _, insert := range []string{
		`INSERT INTO credit_entries (workspace_id, time, event_id, type, grant_id, credits_micro, class, priority, effective_at, expires_at, note, actor, kafka_time, koff) VALUES
			('ws_a', '2026-11-01 00:00:00', 'g1', 'credits.granted', 'a', 100500000, 'paid', 5, '2026-11-02 00:00:00', '2026-12-01 00:00:00', 'contract', 'ops', '2026-11-01 00:00:01', 1),
			('ws_a', '2026-11-01 00:00:00', 'g2', 'credits.granted', 'b', 1000000, 'promo', 100, '2026-11-01 00:00:00', NULL, '', '', '2026-11-01 00:00:01', 2),
			('ws_a', '2026-11-03 00:00:00', 'a1', 'credits.adjusted', 'a', -500000, '', 0, NULL, NULL, 'fee', '', '2026-11-03 00:00:00', 3),
			('ws_a', '2026-11-04 00:00:00', 'a2', 'credits.adjusted', '', 7000000, '', 0, NULL, NULL, '', '', '2026-11-03 00:00:00', 4),
			('ws_a', '2026-11-05 00:00:00', 'v2', 'credits.grant_voided', 'b', 0, '', 0, NULL, NULL, 'again', '', '2026-11-05 00:00:00', 6),
			('ws_a', '2026-11-05 00:00:00', 'v1', 'credits.grant_voided', 'b', 0, '', 0, NULL, NULL, 'wrong', '', '2026-11-05 00:00:00', 5),
			('ws_a', '2026-12-05 00:00:00', 'v3', 'credits.grant_voided', 'a', 0, '', 0, NULL, NULL, 'too late', '', '2026-12-05 00:00:00', 7),
			('ws_a', '2026-12-05 00:00:00', 'v4', 'credits.grant_voided', 'unknown', 0, '', 0, NULL, NULL, '', '', '2026-12-05 00:00:00', 8),
			('ws_b', '2026-11-01 00:00:00', 'g1', 'credits.granted', 'a', 9000000, 'paid', 100, '2026-11-01 00:00:00', NULL, '', '', '2026-11-01 00:00:01', 9)`,
		`INSERT INTO events (workspace_id, time, event_id, campaign_id, action, credits_micro) VALUES
			('ws_a', '2026-11-02 09:00:07.123', 'e1', 'cmp_7', 'x', 1500000), ('ws_a', '2026-11-02 23:59:59.999', 'e2', 'cmp_7', 'y', -250001), ('ws_a', '2026-11-02 00:00:00', 'e3', '', '', 1)`,
	} {
		if err := conn.Exec(t.Context(), insert); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]string{
		"SELECT toString(groupArray((entry_id, toString(at), type, credits, refunds, events, campaign_id, grant_id, note))) FROM (SELECT * FROM v_history WHERE workspace_id = 'ws_a' AND at < '2026-11-04 00:00:00' ORDER BY at, entry_id)": "[" +
			"('grant:g2','2026-11-01 00:00:00.000','grant',1,0,1,'','b','')," +
			"('grant:g1','2026-11-02 00:00:00.000','grant',100.5,0,1,'','a','contract')," +
			"('usage:2026-11-02T00:00:00Z:','2026-11-02 00:00:00.000','consumption',0.000001,0,1,'','','')," +
			"('usage:2026-11-02T00:00:00Z:cmp_7','2026-11-02 00:00:00.000','consumption',1.249999,0.250001,2,'cmp_7','','')," +
			"('adjustment:a1','2026-11-03 00:00:00.000','adjustment',-0.5,0,1,'','a','fee')]",
		"SELECT toString(groupArray((grant_id, class, priority, credits, adjusted, toString(effective_at), toString(expires_at), toString(voided_at), void_reason, event_id))) FROM (SELECT * FROM v_grants WHERE workspace_id = 'ws_a' ORDER BY grant_id)": "[" +
			"('a','paid',5,100.5,-0.5,'2026-11-02 00:00:00.000','2026-12-01 00:00:00.000',NULL,'','g1')," +
			"('b','promo',100,1,0,'2026-11-01 00:00:00.000',NULL,'2026-11-05 00:00:00.000','wrong','g2')]",
		"SELECT toString((count(), countIf(arrived_at IS NULL))) FROM v_history": "(11,2)",
		"SELECT toString(count()) FROM v_grants":                                 "3",
		// A workspace is looked up by the primary key.
		"SELECT toString(countIf(explain LIKE '%(workspace_id in %')) FROM (EXPLAIN indexes = 1 SELECT * FROM v_grants WHERE workspace_id = 'ws_a')":  "1",
		"SELECT toString(countIf(explain LIKE '%(workspace_id in %')) FROM (EXPLAIN indexes = 1 SELECT * FROM v_history WHERE workspace_id = 'ws_a')": "2",
	} {
		var got string
		if err := conn.QueryRow(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s\n= %s, %v\nwant %s", query, got, err, want)
		}
	}
}

// TestRollupsCascade: one insert reaches every resolution, repairs reach none.
func TestRollupsCascade(t *testing.T) {
	database := storetest.ClickHouse(t)
	conn := database.Conn(t)
	if err := conn.Exec(t.Context(), `INSERT INTO events (workspace_id, time, event_id, credits_micro, repair) VALUES
		('ws_acme', '2026-11-22 00:00:00.000', 'e1', 5, 0),
		('ws_acme', '2026-11-22 23:59:59.999', 'e2', -2, 0),
		('ws_acme', '2026-11-22 12:00:00.000', 'e3', 100, 1)`); err != nil {
		t.Fatal(err)
	}
	for table, buckets := range map[string][]string{
		"usage_1m":  {"2026-11-22 00:00:00", "2026-11-22 23:59:00"},
		"usage_15m": {"2026-11-22 00:00:00", "2026-11-22 23:45:00"},
		"usage_1d":  {"2026-11-22 00:00:00"},
	} {
		var (
			got                      []string
			credits, refunds, events int64
		)
		row := conn.QueryRow(t.Context(), "SELECT arraySort(groupUniqArray(toString(bucket))), toInt64(sum(credits_micro)), toInt64(sum(refunds_micro)), toInt64(sum(t.events)) FROM "+table+" AS t")
		if err := row.Scan(&got, &credits, &refunds, &events); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, buckets) || credits != 3 || refunds != 2 || events != 2 {
			t.Errorf("%s: %v, %d, %d, %d", table, got, credits, refunds, events)
		}
	}
}

// TestOneOfTwoWritesOfARuleVersionStands: servers that write at once have the
// same token, and each finds out whose rule it is by reading.
func TestOneOfTwoWritesOfARuleVersionStands(t *testing.T) {
	conn := storetest.ClickHouse(t).Conn(t)
	for _, who := range []string{"alice", "bob"} {
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": "ws_acme/rule_1/2"}))
		if err := conn.Exec(ctx, "INSERT INTO alert_rules (workspace_id, rule_id, version, updated_by) VALUES ('ws_acme', 'rule_1', 2, '"+who+"')"); err != nil {
			t.Fatal(err)
		}
	}
	var got string
	if err := conn.QueryRow(t.Context(), "SELECT toString(groupArray(updated_by)) FROM alert_rules").Scan(&got); err != nil || got != "['alice']" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestTablesOfAlertsTakeWhatIsWritten(t *testing.T) {
	conn := storetest.ClickHouse(t).Conn(t)
	for insert, read := range map[string]string{
		"INSERT INTO alert_incidents (workspace_id, incident_id, state, subject, sequence) VALUES ('ws_acme', 'i', 'firing', 'cmp_7', 1)":               "SELECT toString((subject, sequence)) FROM alert_incidents",
		"INSERT INTO alert_acknowledgements (workspace_id, incident_id, at, by, note) VALUES ('ws_acme', 'cmp_7', now64(), 'alice', '1')":               "SELECT toString((incident_id, toUInt32(note))) FROM alert_acknowledgements WHERE by = 'alice'",
		"INSERT INTO alert_deliveries (workspace_id, webhook_id, destination, attempt, at) VALUES ('ws_acme', 'i/firing', 'cmp_7', 1, now64(3, 'UTC'))": "SELECT toString((destination, attempt)) FROM alert_deliveries WHERE next_attempt_at IS NULL",
	} {
		if err := conn.Exec(t.Context(), insert); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := conn.QueryRow(t.Context(), read).Scan(&got); err != nil || got != "('cmp_7',1)" {
			t.Errorf("%s: %s, %v", read, got, err)
		}
	}
}
