package aggregator_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/drawdown/drawdown/aggregator"
	"github.com/drawdown/drawdown/aggregator/notify"
	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// monthProcess has the settings of a process of the simulated month, as JSON:
// this binary, started again, is an aggregator with a notifier then.
const monthProcess = "DRAWDOWN_TEST_MONTH_PROCESS"

type monthSettings struct {
	Database   storetest.Database
	Broker     string
	Topics     schemas.Topics
	Partitions int
	Clock      string // file
	Secret     []byte
}

// monthClock is the clock of the simulated world in a file: a version and the
// milliseconds. The version is odd while time moves on, so that whoever reads
// sees clock and tables of one instant: it goes on by hours at once, and a
// clock without its watermark would be an outage.
type monthClock struct{ file *os.File }

func (c monthClock) write(version uint64, now time.Time) error {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(now.UnixMilli()))
	if _, err := c.file.WriteAt(b[:], 8); err != nil {
		return err
	}
	binary.LittleEndian.PutUint64(b[:], version)
	_, err := c.file.WriteAt(b[:], 0)
	return err
}

func (c monthClock) read() (version uint64, now time.Time, err error) {
	var b [16]byte
	if _, err = c.file.ReadAt(b[:], 0); err != nil {
		return 0, time.Time{}, err
	}
	return binary.LittleEndian.Uint64(b[:8]), time.UnixMilli(int64(binary.LittleEndian.Uint64(b[8:]))).UTC(), nil
}

// heldConn has a look see one instant of the world, that of its first question,
// and says on standard output which looks went well, and at which partitions.
type heldConn struct {
	driver.Conn
	clock monthClock
	owned func() []int

	mu      sync.Mutex
	now     time.Time
	looking uint64 // version of the look under way; 0: there is none
	failing bool
}

func (h *heldConn) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// Query waits, at the first question of a look, until the world stands still.
func (h *heldConn) Query(ctx context.Context, query string, args ...any) (driver.Rows, error) {
	if query != rollup.ProgressQuery {
		return h.Conn.Query(ctx, query, args...)
	}
	h.ended()
	for {
		version, now, err := h.clock.read()
		if err != nil {
			return nil, err
		}
		if version%2 == 0 {
			rows, err := h.Conn.Query(ctx, query, args...)
			if err != nil {
				return nil, err
			}
			if after, _, err := h.clock.read(); err == nil && after == version {
				h.mu.Lock()
				h.now, h.looking = now, version
				h.mu.Unlock()
				return rows, nil
			}
			if err := rows.Close(); err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// ended says that the look before is over, unless it failed.
func (h *heldConn) ended() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.looking != 0 && !h.failing {
		fmt.Printf("looked %d %s\n", h.looking, strings.Trim(fmt.Sprint(h.owned()), "[]"))
	}
	h.looking = 0
}

// Handle takes notice of what the aggregator logs about its looks.
func (h *heldConn) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case r.Message == "joined": // the look before was broken off
		h.looking, h.failing = 0, false
	case r.Level >= slog.LevelError:
		h.failing = true
	case r.Message == "workspaces are looked at again":
		h.failing = false
	}
	var text strings.Builder
	r.Attrs(func(a slog.Attr) bool { fmt.Fprintf(&text, " %s", a); return true })
	_, err := fmt.Fprintf(os.Stderr, "%d %s%s\n", os.Getpid(), r.Message, &text)
	return err
}

func (h *heldConn) Enabled(context.Context, slog.Level) bool { return true }
func (h *heldConn) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *heldConn) WithGroup(string) slog.Handler            { return h }

// TestMonthProcess is no test but a process of TestASimulatedMonth, until its
// standard input ends.
func TestMonthProcess(t *testing.T) {
	text := os.Getenv(monthProcess)
	if text == "" {
		t.Skip("started by TestASimulatedMonth")
	}
	var s monthSettings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(s.Database.Options())
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(s.Clock)
	if err != nil {
		t.Fatal(err)
	}
	held := &heldConn{Conn: conn, clock: monthClock{file}}
	if _, held.now, err = held.clock.read(); err != nil {
		t.Fatal(err)
	}
	var n *notify.Notifier
	registry := prometheus.NewRegistry()
	a, err := aggregator.New(aggregator.Config{
		Brokers: []string{s.Broker}, Group: "aggregators", Topics: s.Topics, Partitions: s.Partitions, Epoch: 1,
		ClickHouse: held, Recorded: func() { n.Wake() }, LookEvery: 10 * time.Millisecond, SessionTimeout: 1500 * time.Millisecond,
		Now: held.Now, Log: slog.New(held), Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	held.owned = a.Owned
	n, err = notify.New(notify.Config{
		ClickHouse: conn, Partitions: s.Partitions, Owned: a.Owned, Secret: s.Secret,
		AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true,
		// Signatures are good for minutes of the receiver's clock.
		Now: time.Now, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.Run(ctx) })
	group.Go(func() error { return n.Run(ctx) })
	_, _ = io.Copy(io.Discard, os.Stdin) // until whoever started this is gone
	cancel()
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	os.Exit(0) // the process is what was to end; nobody looks at what it leaves
}
