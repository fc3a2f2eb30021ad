package schemas_test

import (
	"testing"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// TestExpectedTablesAreWhatAFreshDatabaseHas compares the reading of the
// migrations with what ClickHouse made of them.
func TestExpectedTablesAreWhatAFreshDatabaseHas(t *testing.T) {
	conn := storetest.ClickHouse(t).Conn(t)
	expected, err := schemas.ExpectedTables("")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), `SELECT name, partition_key != '' FROM system.tables WHERE database = currentDatabase() AND name != 'goose_db_version'`)
	if err != nil {
		t.Fatal(err)
	}
	partitioned := map[string]bool{}
	for rows.Next() {
		var (
			name  string
			parts bool
		)
		if err := rows.Scan(&name, &parts); err != nil {
			t.Fatal(err)
		}
		partitioned[name] = parts
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	deduplicating := 0
	for _, table := range expected {
		parts, ok := partitioned[table.Name]
		if !ok || parts != table.Partitioned {
			t.Errorf("%s: is there %v, is partitioned %v instead of %v", table.Name, ok, parts, table.Partitioned)
		}
		delete(partitioned, table.Name)
		if table.Settings["non_replicated_deduplication_window"] == "50000" {
			deduplicating++
		}
	}
	if len(partitioned) > 0 {
		t.Errorf("not expected: %v", partitioned)
	}
	if events := expected[0]; events.Name != "events" || events.Settings["fsync_after_insert"] != "1" || events.Settings["non_replicated_deduplication_window"] != "50000" {
		t.Errorf("on one node: %+v", events)
	}
	if deduplicating < 10 {
		t.Errorf("only %d tables deduplicate", deduplicating)
	}
	cluster, err := schemas.ExpectedTables("c1")
	if err != nil || len(cluster) != len(expected) {
		t.Fatalf("%d tables in a cluster instead of %d: %v", len(cluster), len(expected), err)
	}
	if events := cluster[0]; events.Name != "events" || events.Settings["replicated_deduplication_window_seconds"] != "604800" || events.Settings["replicated_deduplication_window"] != "50000" {
		t.Errorf("in a cluster: %+v", events)
	}
	newest, err := schemas.NewestMigration()
	if err != nil {
		t.Fatal(err)
	}
	var applied int64
	if err := conn.QueryRow(t.Context(), "SELECT max(version_id) FROM goose_db_version").Scan(&applied); err != nil || applied != newest {
		t.Errorf("the newest migration is %d, applied is %d: %v", newest, applied, err)
	}
}
