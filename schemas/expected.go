package schemas

import (
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
)

// ExpectedTable is a table or view that the migrations make.
type ExpectedTable struct {
	Name string
	// Into is the table that a materialized view writes to; empty: no such view.
	Into string
	// Query is what a materialized view selects.
	Query string
	// Settings are those of the protocol that it must have, by name: of a
	// table that deduplicates its window, and what makes a part durable.
	Settings map[string]string
	// Partitioned says that it has a PARTITION BY.
	Partitioned bool
}

var (
	sqlComment     = regexp.MustCompile(`(?m)--.*$`)
	createdTable   = regexp.MustCompile(`(?ms)^CREATE (TABLE|VIEW|MATERIALIZED VIEW) IF NOT EXISTS (\w+)(?: TO (\w+))?.*?;$`)
	protocolChoice = regexp.MustCompile(`\b((?:non_)?replicated_deduplication_window|replicated_deduplication_window_seconds|fsync_after_insert|fsync_part_directory) = (\d+)`)
)

// ExpectedTables returns what the migrations make, in their order, on one node
// or, with a cluster's name, in that cluster.
func ExpectedTables(cluster string) ([]ExpectedTable, error) {
	files, err := migrationsFor(MigrateOptions{Database: "drawdown", Cluster: cluster})
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("cannot list the migrations: %w", err)
	}
	var tables []ExpectedTable
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("cannot read migration %s: %w", name, err)
		}
		sql := strings.ReplaceAll(sqlComment.ReplaceAllString(string(text), ""), MigrateOptions{Cluster: cluster}.onCluster(), "")
		for _, found := range createdTable.FindAllStringSubmatch(sql, -1) {
			table := ExpectedTable{Name: found[2], Settings: map[string]string{}, Partitioned: strings.Contains(found[0], "\nPARTITION BY")}
			if found[1] == "MATERIALIZED VIEW" {
				table.Into = found[3]
				_, table.Query, _ = strings.Cut(strings.TrimSuffix(found[0], ";"), " AS\n")
			}
			if found[1] == "TABLE" {
				for _, setting := range protocolChoice.FindAllStringSubmatch(found[0], -1) {
					table.Settings[setting[1]] = setting[2]
				}
			}
			tables = append(tables, table)
		}
	}
	return tables, nil
}

// NewestMigration returns the version that Migrate brings a database to.
func NewestMigration() (int64, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		return 0, fmt.Errorf("cannot list the migrations: %w", err)
	}
	newest := strings.TrimPrefix(names[len(names)-1], "migrations/")
	number, _, _ := strings.Cut(newest, "_")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("cannot read the version of migration %s: %w", newest, err)
	}
	return version, nil
}

// AcceptsTTL reports whether a table events with this definition keeps its rows
// for as long as the TTL says, as Migrate would leave it.
func (t EventsTTL) AcceptsTTL(definition string) bool {
	expression := t.expression()
	if expression == "" {
		return !strings.Contains(definition, " TTL ")
	}
	return strings.Contains(definition, " TTL "+expression+" SETTINGS ")
}
