package aggregator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/aggregator/audit"
	"github.com/drawdown/drawdown/schemas"
)

// Config is what an Aggregator needs; Recorded and the durations may be zero,
// the rest is required.
type Config struct {
	Brokers    []string
	Group      string         // consumer group of the aggregators
	Topics     schemas.Topics // their configured names
	Partitions int            // of each topic; places a workspace
	Epoch      uint32         // generation of the topics
	ClickHouse driver.Conn    // default database set
	// Recorded is called when incidents were recorded; nil: nobody is.
	Recorded func()
	// LookEvery is how often partitions are looked at; 0: 1 s, by which an alert
	// is late at most.
	LookEvery time.Duration
	// SessionTimeout is how long a member that is gone keeps its partitions; 0:
	// 10 s, so that alerts are late by not much more.
	SessionTimeout time.Duration
	// EventsTTL is how long raw events are kept; hours before are not audited.
	EventsTTL schemas.EventsTTL
	// AuditEvery and AuditConfirmAfter are Every and ConfirmAfter of
	// [audit.Config].
	AuditEvery, AuditConfirmAfter time.Duration
	Now                           func() time.Time      // the clock
	Log                           *slog.Logger          // changes of state
	Registerer                    prometheus.Registerer // for the drawdown_aggregator_* metrics
}

const (
	// defaultLookEvery leaves the store alone for most of a second.
	defaultLookEvery      = time.Second
	defaultSessionTimeout = 10 * time.Second
)

// Aggregator looks after the workspaces of the partitions that it owns.
type Aggregator struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	auditor *audit.Auditor

	mu       sync.Mutex
	owned    []int     // partitions, ascending
	movedAt  time.Time // last sign of life of the loop, or when partitions were given
	lookedAt time.Time // last look that succeeded, or when partitions were given
	failure  error     // of the last look
}

// New checks cfg. It does no I/O.
func New(cfg Config) (*Aggregator, error) {
	switch {
	case len(cfg.Brokers) == 0, cfg.Group == "":
		return nil, errors.New("cannot make an aggregator: Brokers and Group are required")
	case cfg.ClickHouse == nil:
		return nil, errors.New("cannot make an aggregator: no ClickHouse connection")
	case cfg.Partitions <= 0:
		return nil, fmt.Errorf("cannot make an aggregator: %d partitions", cfg.Partitions)
	case cfg.Now == nil, cfg.Log == nil, cfg.Registerer == nil:
		return nil, errors.New("cannot make an aggregator: Now, Log and Registerer are required")
	}
	if cfg.LookEvery == 0 {
		cfg.LookEvery = defaultLookEvery
	}
	if cfg.SessionTimeout == 0 {
		cfg.SessionTimeout = defaultSessionTimeout
	}
	if cfg.Recorded == nil {
		cfg.Recorded = func() {}
	}
	a := &Aggregator{cfg: cfg, log: cfg.Log.With("stage", "aggregator"), movedAt: cfg.Now(), lookedAt: cfg.Now()}
	a.auditor = audit.New(audit.Config{
		ClickHouse: cfg.ClickHouse, Topics: cfg.Topics, Partitions: cfg.Partitions, Epoch: cfg.Epoch, EventsTTL: cfg.EventsTTL,
		Every: cfg.AuditEvery, ConfirmAfter: cfg.AuditConfirmAfter, Now: cfg.Now, Log: a.log,
	})
	a.metrics = newMetrics(cfg.Registerer, a)
	return a, nil
}

// Run looks after partitions until ctx ends. It waits for Kafka and ClickHouse
// for as long as it takes and returns nil after a clean stop.
func (a *Aggregator) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := a.member(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Owned returns the partitions whose workspaces are looked after here.
func (a *Aggregator) Owned() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.owned)
}

const (
	// staleAfter is how long looks may fail before that is ill health.
	staleAfter = time.Minute
	// stuckAfter is longer than any statement and any projection may take.
	stuckAfter = 3 * time.Minute
)

// Live is an error if the loop has stood still for minutes: restarting would
// help. It does not matter whether what it does succeeds.
func (a *Aggregator) Live(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if idle := a.cfg.Now().Sub(a.movedAt); len(a.owned) > 0 && idle > stuckAfter {
		return fmt.Errorf("no workspace has been looked at for %v: %w", idle.Round(time.Second), errStuck)
	}
	return nil
}

// moved notes a sign of life.
func (a *Aggregator) moved() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.movedAt = a.cfg.Now()
}

// Ready is an error if what is owned could not be looked at, as a whole, for a
// minute.
func (a *Aggregator) Ready(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if idle := a.cfg.Now().Sub(a.lookedAt); len(a.owned) > 0 && idle > staleAfter {
		return fmt.Errorf("no workspace has been looked at for %v: %w", idle.Round(time.Second), errors.Join(a.failure, errStuck))
	}
	return nil
}

var errStuck = errors.New("rules are not evaluated")

func (a *Aggregator) own(partitions []int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.cfg.Now()
	a.owned, a.movedAt, a.lookedAt, a.failure = partitions, now, now, nil
}

// note remembers how a look ended and logs when that changes.
func (a *Aggregator) note(ctx context.Context, err error) {
	a.mu.Lock()
	before := a.failure
	a.failure, a.movedAt = err, a.cfg.Now()
	if err == nil {
		a.lookedAt = a.cfg.Now()
	}
	a.mu.Unlock()
	switch {
	case err != nil && before == nil:
		a.log.ErrorContext(ctx, "cannot look at workspaces, trying again", "error", err)
	case err == nil && before != nil:
		a.log.InfoContext(ctx, "workspaces are looked at again")
	}
}
