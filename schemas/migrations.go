package schemas

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"regexp"
	"strings"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// MigrateOptions says where the tables go.
type MigrateOptions struct {
	// Database is created if it is missing: a letter or underscore, then
	// letters, digits and underscores.
	Database string
	// Cluster is the name of the ClickHouse cluster on which every statement
	// runs with replicated engines; empty: one node.
	Cluster string
	// EventsTTL is how long raw consumption is kept; the zero value keeps it
	// for ever.
	EventsTTL EventsTTL
	// Log is told of each migration applied; nil: nobody is.
	Log *slog.Logger
}

// identifier is what database and cluster names must look like, because they
// are written into statements that take no parameters.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)

// Migrate brings the database to the newest version: it creates the database
// if it is missing, applies the migrations that are not yet recorded in its
// table goose_db_version, and sets the TTL of raw events if it differs. It is
// idempotent, forward-only, and may run at the same time as another: every
// statement says IF NOT EXISTS, so a node of a cluster that has not seen a
// migration loses nothing by applying it again.
//
// db must speak the native protocol and may be connected to any database that
// exists, such as default.
func Migrate(ctx context.Context, db *sql.DB, options MigrateOptions) error {
	if err := options.check(); err != nil {
		return err
	}
	create := "CREATE DATABASE IF NOT EXISTS " + quoteName(options.Database) + options.onCluster()
	if _, err := db.ExecContext(ctx, create); err != nil {
		return fmt.Errorf("cannot create database %s: %w", options.Database, err)
	}
	return inDatabase(ctx, db, options.Database, func(pinned *sql.DB) error {
		if err := applyMigrations(ctx, pinned, options); err != nil {
			return err
		}
		return applyEventsTTL(ctx, pinned, options)
	})
}

func (o MigrateOptions) check() error {
	if !identifier.MatchString(o.Database) {
		return fmt.Errorf("database name %q: want a letter or underscore, then letters, digits, underscores or hyphens", o.Database)
	}
	if o.Cluster != "" && !identifier.MatchString(o.Cluster) {
		return fmt.Errorf("cluster name %q: want a letter or underscore, then letters, digits, underscores or hyphens", o.Cluster)
	}
	return nil
}

func (o MigrateOptions) onCluster() string {
	if o.Cluster == "" {
		return ""
	}
	return " ON CLUSTER " + quoteName(o.Cluster)
}

func quoteName(name string) string { return "`" + name + "`" }

func applyMigrations(ctx context.Context, db *sql.DB, options MigrateOptions) error {
	files, err := migrationsFor(options)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectClickHouse, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("cannot read the migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("cannot migrate database %s: %w", options.Database, err)
	}
	if options.Log != nil {
		for _, r := range results {
			options.Log.InfoContext(ctx, "migration applied", "database", options.Database, "migration", r.Source.Path, "seconds", r.Duration.Seconds())
		}
	}
	return nil
}

// migrationsFor returns the migrations with their placeholders filled in, so
// that the same files serve one node and a cluster.
func migrationsFor(options MigrateOptions) (fs.FS, error) {
	fill := strings.NewReplacer(
		" $ON_CLUSTER", "",
		"$REPLICATED", "",
		"$DEDUPLICATION_WINDOW", "non_replicated_deduplication_window",
	)
	if options.Cluster != "" {
		fill = strings.NewReplacer(
			" $ON_CLUSTER", options.onCluster(),
			"$REPLICATED", "Replicated",
			// A replicated table forgets tokens by age as well, after one hour
			// unless told otherwise; a week is longer than any recovery.
			"$DEDUPLICATION_WINDOW", "replicated_deduplication_window_seconds = 604800, replicated_deduplication_window",
		)
	}
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, fmt.Errorf("cannot list the migrations: %w", err)
	}
	return filledFS{FS: files, fill: fill}, nil
}

// filledFS is a file system whose files have their placeholders filled in.
type filledFS struct {
	fs.FS
	fill *strings.Replacer
}

// Open opens a directory as it is, so that it can be listed, and a file with
// its text replaced.
func (f filledFS) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || info.IsDir() {
		return file, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot read migration %s: %w", name, err), file.Close())
	}
	sql := f.fill.Replace(string(text))
	if at := strings.IndexByte(sql, '$'); at >= 0 {
		err := fmt.Errorf("migration %s has an unknown placeholder at %.20q", name, sql[at:])
		return nil, errors.Join(err, file.Close())
	}
	return filledFile{File: file, text: strings.NewReader(sql)}, nil
}

type filledFile struct {
	fs.File
	text *strings.Reader
}

func (f filledFile) Read(p []byte) (int, error) { return f.text.Read(p) }

// ttlSlack is how much longer raw rows live than they are promised. The TTL
// counts from the insertion: ClickHouse drops rows that are past it on arrival
// while the views still count them, and an event may be of any age.
const ttlSlack = " + toIntervalDay(60)"

// applyEventsTTL sets how long events are kept. The expression is written as
// ClickHouse prints it, so that an equal one is recognised and left alone: a
// new TTL rewrites every part.
func applyEventsTTL(ctx context.Context, db *sql.DB, options MigrateOptions) error {
	var table string
	err := db.QueryRowContext(ctx, "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'events'").Scan(&table)
	if err != nil {
		return fmt.Errorf("cannot read the definition of table events: %w", err)
	}
	ttl := options.EventsTTL.expression()
	has := strings.Contains(table, " TTL ")
	var change string
	switch {
	case ttl == "" && has:
		change = "REMOVE TTL"
	case ttl != "" && !strings.Contains(table, " TTL "+ttl+" SETTINGS "):
		change = "MODIFY TTL " + ttl
	default:
		return nil
	}
	if _, err := db.ExecContext(ctx, "ALTER TABLE events"+options.onCluster()+" "+change); err != nil {
		return fmt.Errorf("cannot keep events for %s: %w", options.EventsTTL, err)
	}
	if options.Log != nil {
		options.Log.InfoContext(ctx, "events TTL changed", "database", options.Database, "events_ttl", options.EventsTTL.String())
	}
	return nil
}

// inDatabase runs do on one connection of db whose current database is name.
// The migrations name their tables without a database, and goose takes
// connections from a pool, so the pool it gets has only this one. The
// connection is not given back: the next user would inherit its database.
func inDatabase(ctx context.Context, db *sql.DB, name string, do func(*sql.DB) error) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("cannot connect to ClickHouse: %w", err)
	}
	if _, err := conn.ExecContext(ctx, "USE "+quoteName(name)); err != nil {
		return errors.Join(fmt.Errorf("cannot use database %s: %w", name, err), conn.Close())
	}
	err = conn.Raw(func(raw any) error {
		native, ok := raw.(session)
		if !ok {
			return fmt.Errorf("cannot migrate through %T: use clickhouse-go's database/sql driver", raw)
		}
		pool := sql.OpenDB(onlyConnector{native})
		pool.SetMaxOpenConns(1)
		defer func() { _ = pool.Close() }() // closes nothing: keepOpen
		var current string
		if err := pool.QueryRowContext(ctx, "SELECT currentDatabase()").Scan(&current); err != nil {
			return fmt.Errorf("cannot read the current database: %w", err)
		}
		if current != name {
			return fmt.Errorf("cannot use database %s, the connection stays in %s: connect by the native protocol, not HTTP", name, current)
		}
		return do(pool)
	})
	discard := conn.Raw(func(any) error { return driver.ErrBadConn })
	if discard != nil && !errors.Is(discard, driver.ErrBadConn) {
		err = errors.Join(err, discard)
	}
	return err
}

// session is what clickhouse-go's connections can do and goose needs.
type session interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.NamedValueChecker
	driver.SessionResetter
}

// onlyConnector hands out one open connection.
type onlyConnector struct{ session session }

func (c onlyConnector) Connect(context.Context) (driver.Conn, error) { return keepOpen{c.session}, nil }
func (c onlyConnector) Driver() driver.Driver                        { return nil }

// keepOpen leaves closing to whom the connection belongs.
type keepOpen struct{ session }

func (keepOpen) Close() error { return nil }
