package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/drawdown/drawdown/consumers"
	"github.com/drawdown/drawdown/deploy/embedded"
	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// skewedVariable has the settings of a consumer, as JSON: this binary, started
// again, is a member whose clock is wrong then. The clock of a process cannot be
// moved from outside: Go asks the kernel without a library in between, and a time
// namespace moves only what is monotonic, once, before the process starts.
const skewedVariable = "DRAWDOWN_TEST_FAULTS_CONSUMER"

type skewedSettings struct {
	Broker, ClickHouse, Ops  string // addresses
	User, Password, Database string
	Epoch                    uint32
	By                       time.Duration
}

// runSkewed consumes until SIGTERM. A line on standard input is by how much the
// clock leaps forward.
func runSkewed(text string) error {
	var s skewedSettings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("cannot read the settings: %w", err)
	}
	var by atomic.Int64
	by.Store(int64(s.By))
	registry := prometheus.NewRegistry()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil))) // as the program logs
	consumer, err := consumers.New(consumers.Config{
		Brokers: []string{s.Broker}, Group: group, Topics: schemas.DefaultTopics(), Partitions: partitions, Epoch: s.Epoch,
		ClickHouse: &clickhouse.Options{
			Addr:        []string{s.ClickHouse},
			Auth:        clickhouse.Auth{Database: s.Database, Username: s.User, Password: s.Password},
			DialContext: embedded.Dialer(), DialTimeout: 5 * time.Second, ReadTimeout: time.Minute,
		},
		Limits: memberLimits(), Linger: linger, SessionTimeout: sessionTimeout, FilterBytes: 32 << 20, BatchBytes: 32 << 20,
		Registerer: registry, Now: func() time.Time { return time.Now().Add(time.Duration(by.Load())) },
	})
	if err != nil {
		return fmt.Errorf("cannot make a consumer: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	slog.Info("configuration", "clock_wrong_by", s.By)
	listener, err := net.Listen("tcp", s.Ops)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			leap, err := time.ParseDuration(lines.Text())
			if err != nil {
				panic(err)
			}
			by.Add(int64(leap))
		}
	}()
	ops := queryapi.NewOps(registry, slog.Default(), queryapi.Check{Name: "consumers", Ready: consumer.Ready, Live: consumer.Live})
	running, runningCtx := errgroup.WithContext(ctx)
	running.Go(func() error { return ops.Run(runningCtx, listener) })
	running.Go(func() error { return consumer.Run(runningCtx) })
	return running.Wait()
}

// memberLimits are those of `drawdown consume`: others would be other rules.
func memberLimits() schemas.Limits {
	limits := schemas.DefaultLimits()
	var ttl schemas.EventsTTL
	if err := ttl.UnmarshalText([]byte("13mo")); err != nil {
		panic(err)
	}
	limits.ImportLateness = ttl.ImportLateness()
	return limits
}

// startSkewed starts the member with a clock that is wrong by so much.
func (m *member) startSkewed(by time.Duration) {
	m.s.t.Helper()
	program, err := os.Executable()
	if err != nil {
		m.s.t.Fatal(err)
	}
	settings, err := json.Marshal(skewedSettings{
		Broker: m.s.kafka.Addr, ClickHouse: m.clickhouse.Addr, Ops: m.ops, User: m.s.access.User, Password: m.s.access.Password,
		Database: m.s.access.Name, Epoch: m.s.epoch, By: by,
	})
	if err != nil {
		m.s.t.Fatal(err)
	}
	m.command = storetest.Start(m.s.t, storetest.CommandOptions{
		Path: program, Env: []string{skewedVariable + "=" + string(settings)}, Quiet: true, Stdin: true,
	})
}

// leap moves that clock forward.
func (m *member) leap(by time.Duration) {
	_, _ = fmt.Fprintln(m.command.Stdin, by) // fails only if it is gone already
}
