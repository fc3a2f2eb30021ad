package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/deploy/embedded"
	"github.com/drawdown/drawdown/schemas"
)

// databaseWithin bounds creating or dropping a database on a loaded machine.
const databaseWithin = 2 * time.Minute

// shared is the engine of this test binary.
var shared struct {
	sync.Mutex
	engine *Engine
	err    error
}

// Database is a migrated database of one test.
type Database struct {
	Addr     string // native protocol, host:port
	HTTPAddr string
	User     string
	Password string
	Name     string
}

// ClickHouse returns a fresh, migrated database, dropped when the test ends. The
// engine behind it is shared by this test binary: tests that kill it use
// NewEngine.
func ClickHouse(t testing.TB) *Database {
	t.Helper()
	shared.Lock()
	if shared.engine == nil && shared.err == nil {
		shared.engine, shared.err = newEngine(EngineOptions{AutoRestart: true})
	}
	engine, err := shared.engine, shared.err
	shared.Unlock()
	if err != nil {
		skip(t, err)
	}
	return engine.database(t)
}

// stopShared ends the shared engine if there is one.
func stopShared() error {
	shared.Lock()
	defer shared.Unlock()
	if shared.engine == nil {
		return nil
	}
	err := shared.engine.close()
	shared.engine = nil
	return err
}

// create migrates a database with a random name and drops it at cleanup.
func (d Database) create(t testing.TB) (*Database, error) {
	d.Name = "test_" + randomHex()
	ctx, cancel := context.WithTimeout(context.Background(), databaseWithin)
	defer cancel()
	db := clickhouse.OpenDB(d.options("default"))
	err := errors.Join(schemas.Migrate(ctx, db, schemas.MigrateOptions{Database: d.Name}), db.Close())
	if err != nil {
		return nil, fmt.Errorf("cannot prepare database %s: %w", d.Name, err)
	}
	t.Cleanup(func() {
		if err := d.drop(); err != nil {
			t.Logf("cannot drop database %s: %v", d.Name, err) // it goes with the engine
		}
	})
	return &d, nil
}

func (d *Database) drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), databaseWithin)
	defer cancel()
	db := clickhouse.OpenDB(d.options("default"))
	_, err := db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+d.Name)
	return errors.Join(err, db.Close())
}

// Options connect to the database over the native protocol; the caller may
// change them.
func (d *Database) Options() *clickhouse.Options { return d.options(d.Name) }

func (d *Database) options(database string) *clickhouse.Options {
	return &clickhouse.Options{
		Addr:        []string{d.Addr},
		Auth:        clickhouse.Auth{Database: database, Username: d.User, Password: d.Password},
		DialContext: embedded.Dialer(), // as the program reaches it
		DialTimeout: 10 * time.Second,
		ReadTimeout: time.Minute,
	}
}

// Conn returns a connection pool to the database, closed when the test ends.
func (d *Database) Conn(t testing.TB) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(d.Options())
	if err != nil {
		t.Fatalf("cannot open ClickHouse: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("cannot close ClickHouse: %v", err)
		}
	})
	return conn
}

// SQL is Conn for database/sql.
func (d *Database) SQL(t testing.TB) *sql.DB {
	t.Helper()
	db := clickhouse.OpenDB(d.Options())
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("cannot close ClickHouse: %v", err)
		}
	})
	return db
}

// DSN is the database as a clickhouse:// address.
func (d *Database) DSN() string {
	return fmt.Sprintf("clickhouse://%s:%s@%s/%s", d.User, d.Password, d.Addr, d.Name)
}
