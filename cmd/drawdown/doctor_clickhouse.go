package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/consumers"
	"github.com/drawdown/drawdown/schemas"
)

// oldestVersion has one hash for blocks with and without a token, and
// deduplicates in views as the protocol needs it.
var oldestVersion = []int{26, 2}

// keptTokens are the first builds in which a replicated INSERT that is cancelled
// does not keep its token without its rows;
// https://github.com/ClickHouse/ClickHouse/pull/111196.
var keptTokens = map[string][]int{"26.3": {26, 3, 33, 61}, "26.6": {26, 6, 5, 114}, "26.7": {26, 7, 7, 87}, "26.8": {26, 8, 3, 98}}

func (x *examination) version(ctx context.Context) error {
	return x.rows(ctx, "SELECT version()", func(rows driver.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if what := badVersion(text, x.Cluster != ""); what != "" {
			x.found("version", "ClickHouse "+text, what, "apt-get install --only-upgrade clickhouse-server   # on every node, one after the other")
		}
		return nil
	})
}

// badVersion says what is wrong with a version, or nothing.
func badVersion(text string, replicated bool) string {
	var v []int
	for _, part := range strings.SplitN(text, ".", 5) {
		var n int
		if _, err := fmt.Sscanf(part, "%d", &n); err != nil {
			break
		}
		v = append(v, n)
	}
	if slices.Compare(v, oldestVersion) < 0 {
		return "it is older than 26.2: views do not deduplicate by the token of an INSERT, so a retry is counted twice in the rollups"
	}
	if !replicated { // one node cancels no INSERT between Keeper and the part
		return ""
	}
	fixed, known := keptTokens[fmt.Sprintf("%d.%d", v[0], v[1])]
	if known && slices.Compare(v, fixed) < 0 || !known && slices.Compare(v, []int{26, 8}) < 0 {
		return "a replicated INSERT that is cancelled may keep its token without its rows (pull request 111196); fixed in 26.3.33.61, 26.6.5.114, 26.7.7.87 and 26.8.3.98"
	}
	return ""
}

func (x *examination) migrations(ctx context.Context) error {
	newest, err := schemas.NewestMigration()
	if err != nil {
		return err
	}
	// The last word on each version holds; goose writes one row for each change.
	const applied = `SELECT max(version_id) FROM (
		SELECT version_id, argMax(is_applied, tstamp) AS applied FROM goose_db_version GROUP BY version_id) WHERE applied = 1`
	return x.rows(ctx, applied, func(rows driver.Rows) error {
		var version int64
		if err := rows.Scan(&version); err != nil {
			return err
		}
		switch {
		case version < newest:
			x.found("migrations", "database "+x.Database, fmt.Sprintf("it is at version %d, this program needs %d", version, newest), "drawdown migrate --clickhouse-database %s", x.Database)
		case version > newest:
			x.found("migrations", "database "+x.Database, fmt.Sprintf("it is at version %d, this program knows %d: a newer one has been here", version, newest), "drawdown --help   # of the newer release; install that everywhere")
		}
		return nil
	})
}

// tableState is a table as ClickHouse has it.
type tableState struct{ definition, engine, partition string }

// tables looks at what makes an INSERT idempotent and durable.
func (x *examination) tables(ctx context.Context) error {
	expected, err := schemas.ExpectedTables(x.Cluster)
	if err != nil {
		return err
	}
	have := map[string]tableState{}
	err = x.rows(ctx, "SELECT name, create_table_query, engine, partition_key FROM system.tables WHERE database = currentDatabase()", func(rows driver.Rows) error {
		var (
			name string
			is   tableState
		)
		err := rows.Scan(&name, &is.definition, &is.engine, &is.partition)
		have[name] = is
		return err
	})
	if err != nil || x.conn == nil {
		return err
	}
	for _, table := range expected {
		is, ok := have[table.Name]
		if !ok {
			if table.Into == "" { // views are looked at by views
				x.found("tables", table.Name, "it is not there", "drawdown migrate --clickhouse-database %s   # into an empty database; then copy what is left into it", x.Database)
			}
			continue
		}
		for _, name := range sortedKeys(table.Settings) {
			if want := table.Settings[name]; !strings.Contains(is.definition, name+" = "+want) {
				x.found("settings", table.Name, settingMatters(name, want), "%s", x.alter(table.Name, fmt.Sprintf("MODIFY SETTING %s = %s", name, want)))
			}
		}
		if !table.Partitioned && is.partition != "" {
			x.found("tables", table.Name, fmt.Sprintf("it is partitioned by %s: ClickHouse mishandles partitioned targets under view deduplication", is.partition), "%s", x.sql("SHOW CREATE TABLE %s", table.Name)+"   # make it anew without PARTITION BY and copy its rows while no consumer runs")
		}
	}
	if events, ok := have["events"]; ok && !x.EventsTTL.AcceptsTTL(events.definition) {
		x.found("ttl", "events", fmt.Sprintf("raw events are not kept for %s, as --events-ttl says: what is accepted and what is kept disagree", x.EventsTTL), "drawdown migrate --events-ttl %s   # and the same --events-ttl for every process", x.EventsTTL)
	}
	return nil
}

func settingMatters(name, want string) string {
	if strings.Contains(name, "window") {
		return fmt.Sprintf("%s is not %s: an INSERT that is repeated after a crash would be counted twice", name, want)
	}
	return fmt.Sprintf("%s is not %s: a power cut loses rows that were acknowledged", name, want)
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// views looks whether the rollups are fed, once.
func (x *examination) views(ctx context.Context) error {
	expected, err := schemas.ExpectedTables(x.Cluster)
	if err != nil || x.conn == nil {
		return err
	}
	type view struct{ name, definition string }
	into := map[string][]view{}
	err = x.rows(ctx, "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView'", func(rows driver.Rows) error {
		var is view
		if err := rows.Scan(&is.name, &is.definition); err != nil {
			return err
		}
		for _, table := range expected {
			if strings.Contains(is.definition, " TO "+x.Database+"."+table.Name+" ") {
				into[table.Name] = append(into[table.Name], is)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, table := range expected {
		if table.Into == "" {
			continue
		}
		fed := into[table.Into]
		at := slices.IndexFunc(fed, func(v view) bool { return v.name == table.Name })
		switch {
		case at < 0:
			x.found("views", table.Name, fmt.Sprintf("the view is not there: %s gets nothing", table.Into), "%s", x.sql("ATTACH TABLE %s", table.Name)+"   # if it was detached, else make it as schemas/migrations has it, while no consumer runs; then start them and drawdown migrate --rebuild "+table.Into)
		case len(fed) > 1:
			x.found("views", table.Into, fmt.Sprintf("%d views write into it: everything is counted as often", len(fed)), "%s", x.sql("DROP VIEW %s", fed[(at+1)%len(fed)].name)+"   # while no consumer runs; then start them and drawdown migrate --rebuild "+table.Into)
		case table.Into == "usage_1m" && !strings.Contains(fed[at].definition, "repair = 0"):
			x.found("views", table.Name, "it does not skip repaired rows, which are mended in the rollups as well: they are counted twice", "%s", x.sql("SHOW CREATE VIEW %s", table.Name)+"   # make it anew as schemas/migrations has it, while no consumer runs; then start them and drawdown migrate --rebuild "+table.Into)
		}
	}
	return nil
}

// Codes of ClickHouse for a setting that its user may not have;
// src/Common/ErrorCodes.cpp.
const (
	chReadonly            = 164
	chConstraintViolation = 452
)

// settings tries whether the user may have each setting that the consumers send
// with every INSERT. What a profile only says otherwise does no harm, because it
// is sent; what it forbids makes every INSERT fail, or, if the server is one
// that passes over it, counts a retry twice.
func (x *examination) settings(ctx context.Context) error {
	pinned, is := consumers.InsertSettings(), map[string]string{}
	err := x.rows(ctx, "SELECT name, value FROM system.settings WHERE name IN (?)", func(rows driver.Rows) error {
		var name, value string
		err := rows.Scan(&name, &value)
		is[name] = value
		return err
	}, sortedKeys(pinned))
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(is) { // a server may not know all of them
		asked := clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{name: pinned[name]}))
		err := x.rows(asked, "SELECT 1", func(driver.Rows) error { return nil })
		var refused *clickhouse.Exception
		switch {
		case errors.As(err, &refused) && (refused.Code == chConstraintViolation || refused.Code == chReadonly):
			x.found("settings", "profile of ClickHouse user "+userOr(x.User, "default"),
				fmt.Sprintf("%s is %s and may not be %s, as every INSERT needs it: %.300s", name, is[name], pinned[name], refused.Message),
				"%s", x.sql("ALTER USER %s SETTINGS %s = '%s' WRITABLE", userOr(x.User, "default"), name, pinned[name])+"   # or, of a user in users.xml, take "+name+" out of the constraints of its profile")
		case err != nil:
			return err
		}
	}
	return nil
}

func userOr(user, otherwise string) string {
	if user == "" {
		return otherwise
	}
	return user
}

func (x *examination) merges(ctx context.Context) error {
	err := x.rows(ctx, `SELECT table, partition, count() AS parts FROM system.parts
		WHERE database = currentDatabase() AND active GROUP BY table, partition HAVING parts > ? ORDER BY table, partition`, func(rows driver.Rows) error {
		var (
			table, partition string
			parts            uint64
		)
		if err := rows.Scan(&table, &partition, &parts); err != nil {
			return err
		}
		x.found("parts", fmt.Sprintf("%s, partition %s", table, partition), fmt.Sprintf("%d active parts, more than %d: merges do not keep up, and ClickHouse slows INSERTs down, then refuses them", parts, x.MaxParts),
			"%s", x.sql("SYSTEM START MERGES %s", table)+"   # or larger batches: drawdown consume --linger 2s")
		return nil
	}, x.MaxParts)
	if err != nil {
		return err
	}
	return x.rows(ctx, `SELECT table, elapsed, if(is_mutation, 'mutation', 'merge') FROM system.merges WHERE database = currentDatabase() AND elapsed > ? ORDER BY table, elapsed`, func(rows driver.Rows) error {
		var (
			table, kind string
			elapsed     float64
		)
		if err := rows.Scan(&table, &elapsed, &kind); err != nil {
			return err
		}
		running := time.Duration(elapsed * float64(time.Second)).Round(time.Millisecond)
		x.found("merges", table, fmt.Sprintf("a %s has been running for %s, more than %s: it hangs, or the disk is too slow, and parts pile up behind it", kind, running, x.SlowMerge),
			"%s", x.sql("%s", stopMerge(kind, x.Database, table)))
		return nil
	}, x.SlowMerge.Seconds())
}

// stopMerge is the statement that ends what runs too long; a merge begins anew.
func stopMerge(kind, database, table string) string {
	if kind == "mutation" {
		return fmt.Sprintf("KILL MUTATION WHERE database = '%s' AND table = '%s' AND NOT is_done", database, table)
	}
	return fmt.Sprintf("SYSTEM STOP MERGES %s; SYSTEM START MERGES %s", table, table)
}

func (x *examination) mutations(ctx context.Context) error {
	err := x.rows(ctx, `SELECT table, mutation_id, command, latest_fail_reason FROM system.mutations
		WHERE database = currentDatabase() AND NOT is_done AND latest_fail_reason != ''`, func(rows driver.Rows) error {
		var table, id, command, reason string
		if err := rows.Scan(&table, &id, &command, &reason); err != nil {
			return err
		}
		x.found("mutations", table, fmt.Sprintf("%s does not end: %.300s", command, reason), "%s", x.sql("KILL MUTATION WHERE database = '%s' AND table = '%s' AND mutation_id = '%s'", x.Database, table, id))
		return nil
	})
	if err != nil {
		return err
	}
	if err := x.detached(ctx); err != nil || x.Cluster == "" {
		return err
	}
	return x.rows(ctx, `SELECT table, is_readonly, absolute_delay FROM system.replicas WHERE database = currentDatabase() ORDER BY table`, func(rows driver.Rows) error {
		var (
			table    string
			readonly uint8
			delay    uint64
		)
		if err := rows.Scan(&table, &readonly, &delay); err != nil {
			return err
		}
		if what := badReplica(readonly != 0, time.Duration(delay)*time.Second); what != "" {
			x.found("replicas", table, what, "%s", x.sql("SYSTEM RESTART REPLICA %s", table))
		}
		return nil
	})
}

// replicaDelay is how far a replica may be behind: inserts of a batch take
// seconds, and a replica that starts catches up within minutes.
const replicaDelay = 5 * time.Minute

// badReplica says what is wrong with a replica of a table, or nothing.
func badReplica(readonly bool, delay time.Duration) string {
	switch {
	case readonly:
		return "the replica takes no rows, because it has lost its session with Keeper: every INSERT into it fails"
	case delay > replicaDelay:
		return fmt.Sprintf("the replica is %s behind: what is read from it is older by as much", delay)
	}
	return ""
}

// detached looks for parts that ClickHouse, or somebody, took out of a table. A
// part that is detached for another reason has its rows elsewhere.
func (x *examination) detached(ctx context.Context) error {
	return x.rows(ctx, `SELECT table, name, reason FROM system.detached_parts
		WHERE database = currentDatabase() AND (reason LIKE '%broken%' OR reason = '') ORDER BY table, name`, func(rows driver.Rows) error {
		var table, name, reason string
		if err := rows.Scan(&table, &name, &reason); err != nil {
			return err
		}
		if reason == "" {
			x.found("parts", table, fmt.Sprintf("part %s was detached by somebody: its rows are in no figure", name), "%s", x.alter(table, fmt.Sprintf("ATTACH PART '%s'", name)))
			return nil
		}
		x.found("parts", table, fmt.Sprintf("part %s is detached because it is broken (%s): its rows are in no figure", name, reason),
			"drawdown audit   # says what is missing, which a running consumer mends from Kafka; then %s", x.alter(table, fmt.Sprintf("DROP DETACHED PART '%s' SETTINGS allow_drop_detached = 1", name)))
		return nil
	})
}

func (x *examination) disks(ctx context.Context) error {
	return x.rows(ctx, `SELECT name, path, free_space, total_space FROM system.disks WHERE total_space > 0 AND type = 'Local'`, func(rows driver.Rows) error {
		var (
			name, path  string
			free, total uint64
		)
		if err := rows.Scan(&name, &path, &free, &total); err != nil {
			return err
		}
		if percent := 100 * float64(free) / float64(total); percent < x.MinFree {
			x.found("disk", fmt.Sprintf("disk %s (%s)", name, path), fmt.Sprintf("%.1f %% of %d GB are free, %g %% are wanted: a merge needs as much space as its parts", percent, total>>30, x.MinFree),
				"drawdown migrate --events-ttl 6mo   # keeps raw events for less time; or a larger disk")
		}
		return nil
	})
}

// clock compares the clock of ClickHouse with ours; half of the way there and
// back is what the comparison cannot know.
func (x *examination) clock(ctx context.Context) error {
	asked, before := x.env.Now(), time.Now()
	return x.rows(ctx, "SELECT now64(3)", func(rows driver.Rows) error {
		var theirs time.Time
		if err := rows.Scan(&theirs); err != nil {
			return err
		}
		half := time.Since(before) / 2
		if skew := theirs.Sub(asked.Add(half)); skew.Abs() > x.MaxSkew+half {
			x.found("clock", "ClickHouse", fmt.Sprintf("its clock is %s from this machine's", skew.Round(time.Millisecond)), "chronyc makestep   # on the machine that is wrong")
		}
		return nil
	})
}

// rebuildStillFor is how long nothing of a rebuild is filled in, while the
// command runs, by owners that look every five seconds.
const rebuildStillFor = 10 * time.Minute

// rebuilds looks for a rollup that was being made anew when the command was
// stopped: every INSERT goes into both tables until it is finished.
func (x *examination) rebuilds(ctx context.Context) error {
	const query = `SELECT toString(r.rollup), greatest(r.at, ifNull(p.at, r.at)) AS moved FROM (SELECT number, rollup, at FROM rebuilds FINAL WHERE step < 2) AS r
		LEFT JOIN (SELECT number, toNullable(max(at)) AS at FROM rebuild_pieces GROUP BY number) AS p ON p.number = r.number`
	return x.rows(ctx, query, func(rows driver.Rows) error {
		var (
			table string
			moved time.Time
		)
		if err := rows.Scan(&table, &moved); err != nil {
			return err
		}
		if still := x.env.Now().Sub(moved); still > rebuildStillFor {
			x.found("rebuild", table, fmt.Sprintf("it was being made anew, and nothing has been done for %s", still.Round(time.Second)), "%s",
				"drawdown migrate --rebuild "+table+"   # goes on; with --give-up it keeps the old table")
		}
		return nil
	})
}
