package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/drawdown/drawdown/deploy/embedded"
)

// startWithin bounds one start of a store: a second on an idle machine.
const startWithin = 3 * time.Minute

// EngineOptions describe an engine of a test's own.
type EngineOptions struct {
	// Dir keeps the data; "" is a temporary one that goes with the test.
	Dir string
	// AutoRestart starts a dead engine again, as `drawdown up` does. Without,
	// it stays dead until Restart.
	AutoRestart bool
	// ConfigXML goes into the server configuration as it is.
	ConfigXML string
	// Log gets state changes and the engine's output (at debug); nil discards.
	Log io.Writer
}

// Engine is a ClickHouse process of a test's own. Address, data and password
// stay the same over restarts. Kill and PID may be called from any goroutine,
// the rest from the test's.
type Engine struct {
	t      testing.TB // nil for the shared one
	remove func() error
	store  embedded.ClickHouse
	access Database
	server server
}

// NewEngine starts an engine for this test alone and stops it at cleanup.
func NewEngine(t testing.TB, o EngineOptions) *Engine {
	t.Helper()
	e, err := newEngine(o)
	if err != nil {
		skip(t, err)
	}
	e.t = t
	t.Cleanup(func() {
		if err := e.close(); err != nil {
			t.Errorf("cannot stop the engine: %v", err)
		}
	})
	return e
}

func newEngine(o EngineOptions) (*Engine, error) {
	binary, err := helperOnce()
	if err != nil {
		return nil, err
	}
	lib, err := engineOnce()
	if err != nil {
		return nil, err
	}
	e := &Engine{remove: func() error { return nil }}
	if o.Dir == "" {
		if o.Dir, e.remove, err = scratchDir(); err != nil {
			return nil, err
		}
	}
	tcp, err := freeAddr()
	if err != nil {
		return nil, errors.Join(err, e.remove())
	}
	http, err := freeAddr()
	if err != nil {
		return nil, errors.Join(err, e.remove())
	}
	e.store = embedded.ClickHouse{
		Binary: binary, Library: lib, Dir: o.Dir, TCPListen: tcp, HTTPListen: http,
		Once: !o.AutoRestart, ConfigXML: o.ConfigXML, Log: logTo(o.Log),
		MaxMemoryBytes: 4 << 30, // several packages' engines share the machine
	}
	cred, err := e.store.Credentials()
	if err != nil {
		return nil, errors.Join(err, e.remove())
	}
	e.access = Database{Addr: cred.Addr, HTTPAddr: cred.HTTP, User: cred.User, Password: cred.Password}
	e.server.start = e.store.Start
	if err := e.server.up(); err != nil {
		return nil, errors.Join(err, e.remove())
	}
	return e, nil
}

// Addr is the native protocol's host:port.
func (e *Engine) Addr() string { return e.access.Addr }

// Dir is the data directory; the engine's log is server.log in it.
func (e *Engine) Dir() string { return e.store.Dir }

// PID is the process id of the child, 0 while none runs.
func (e *Engine) PID() int { return e.server.process.PID() }

// Health is nil while the engine answers.
func (e *Engine) Health() error { return e.server.process.Health() }

// Kill ends the engine with SIGKILL and returns when the process is gone.
func (e *Engine) Kill() { e.server.kill() }

// Stop ends the engine cleanly.
func (e *Engine) Stop() {
	if err := e.server.down(); err != nil {
		e.t.Fatalf("cannot stop the engine: %v", err)
	}
}

// Restart starts the engine again on its address and data, after stopping it if
// it runs.
func (e *Engine) Restart() {
	e.Stop()
	if err := e.server.up(); err != nil {
		e.t.Fatalf("cannot restart the engine: %v", err)
	}
}

// Database returns a fresh, migrated database of this engine.
func (e *Engine) Database(t testing.TB) *Database {
	t.Helper()
	db, err := e.access.create(t)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// database tries again, with another name, for as long as the shared engine is
// away: a test beside this one may have made it abort. What the engine itself
// refuses fails at once.
func (e *Engine) database(t testing.TB) *Database {
	t.Helper()
	var db *Database
	Wait(t, startWithin, "the shared engine is up", func() (bool, error) {
		if e.PID() == 0 || e.Health() != nil {
			return false, nil
		}
		var err error
		if db, err = e.access.create(t); err == nil {
			return true, nil
		}
		var refused *clickhouse.Exception
		if errors.As(err, &refused) {
			return false, err
		}
		t.Logf("trying again: %v", err)
		return false, nil
	})
	return db
}

func (e *Engine) close() error { return errors.Join(e.server.down(), e.remove()) }

// server is a store's process that a test turns on and off.
type server struct {
	start   func(context.Context) (*embedded.Process, error)
	process *embedded.Process
}

func (s *server) up() error {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	process, err := s.start(ctx)
	if err != nil {
		return err
	}
	s.process = process
	return nil
}

func (s *server) down() error {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	return s.process.Stop(ctx)
}

// kill returns when the killed process is gone, not when the supervisor has
// started another.
func (s *server) kill() {
	pid := s.process.PID()
	if pid == 0 {
		return
	}
	_ = syscall.Kill(pid, syscall.SIGKILL) // gone already is as good
	for s.process.PID() == pid {
		time.Sleep(time.Millisecond)
	}
}

func logTo(w io.Writer) *slog.Logger {
	if w == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// String names the engine in failures.
func (e *Engine) String() string { return fmt.Sprintf("engine %s (pid %d)", e.Addr(), e.PID()) }
