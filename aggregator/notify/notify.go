package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/schemas"
)

// Config says what a Notifier delivers, to whom and as whom.
type Config struct {
	// ClickHouse has the tables.
	ClickHouse driver.Conn
	// Partitions is the partition count of the topics, and Owned returns those
	// whose workspaces are this process's to serve. It is asked before each
	// look, so it is quick and safe for concurrent use.
	Partitions int
	Owned      func() []int

	// Kafka takes what goes to Topic; nil: there is no topic.
	Kafka *kafka.Client
	Topic string

	// Secret is the master of webhook secrets, at least
	// schemas.MinWebhookMaster bytes.
	Secret []byte
	// BaseURL is where the page is, such as https://credits.example.com,
	// without a slash at its end; empty: messages have no link.
	BaseURL string
	// AllowedNetworks may be connected to although they are not public.
	AllowedNetworks []netip.Prefix
	// AllowHTTP allows http:// beside https://.
	AllowHTTP bool

	Now        func() time.Time
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

const (
	// lookEvery is how often new incidents are looked for unless woken.
	lookEvery = 2 * time.Second
	// lookOverlap is how much later than its recorded_at a row may become
	// visible and still be found by the next look: many times the longest
	// INSERT of a row.
	lookOverlap = 2 * time.Minute
	// fullLookEvery is how often a look goes back lookBack all the same, for
	// destinations that were named since and rows that came later than that.
	fullLookEvery = 10 * time.Minute
	// lookBack is how old an incident may be that nobody has dealt with: a
	// weekend without anybody running and some.
	lookBack = 72 * time.Hour
	// shutdownGrace is how long requests may go on at the end, as for INSERTs
	// in invariant 7 of the consumers.
	shutdownGrace = 5 * time.Second
	// staleAfter is how long looks may fail before that is ill health.
	staleAfter = time.Minute
)

// Notifier delivers the incidents of the workspaces of some partitions.
type Notifier struct {
	cfg     Config
	metrics *metrics
	client  *http.Client
	wake    chan struct{}

	// Of the loop alone.
	owned    []int
	open     map[incidentKey]*incident // not settled everywhere, as far as is known
	lookedAt time.Time                 // the last look that succeeded began then
	fullAt   time.Time                 // the same of looks that went back lookBack

	workers sync.WaitGroup
	mu      sync.Mutex
	busy    map[key]underWay
	pauses  map[receiver]time.Time // until when they asked to be spared
	// known has what this process did: a replica that was asked may not have
	// the row yet.
	known     map[key]progress
	healthyAt time.Time
	failure   error
}

// New checks cfg. It does no I/O.
func New(cfg Config) (*Notifier, error) {
	switch {
	case cfg.ClickHouse == nil, cfg.Owned == nil:
		return nil, errors.New("cannot make a notifier: ClickHouse and Owned are required")
	case cfg.Partitions <= 0:
		return nil, fmt.Errorf("cannot make a notifier: %d partitions", cfg.Partitions)
	case len(cfg.Secret) < schemas.MinWebhookMaster:
		return nil, fmt.Errorf("cannot make a notifier: a secret of %d bytes; want %d or more", len(cfg.Secret), schemas.MinWebhookMaster)
	case cfg.Kafka != nil && cfg.Topic == "":
		return nil, errors.New("cannot make a notifier: Kafka without a topic")
	case cfg.Now == nil, cfg.Log == nil, cfg.Registerer == nil:
		return nil, errors.New("cannot make a notifier: Now, Log and Registerer are required")
	}
	return &Notifier{
		cfg:     cfg,
		metrics: newMetrics(cfg.Registerer),
		client:  newClient(guard{allowed: cfg.AllowedNetworks}, nil),
		wake:    make(chan struct{}, 1),
		open:    make(map[incidentKey]*incident),
		busy:    make(map[key]underWay),
		pauses:  make(map[receiver]time.Time),
		known:   make(map[key]progress),
	}, nil
}

// Wake has the next look happen at once. Whoever has recorded an incident calls
// it; nothing depends on that but time.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default: // one is due already
	}
}

// Health is nil while what is owed can be read.
func (n *Notifier) Health() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failure != nil && n.cfg.Now().Sub(n.healthyAt) > staleAfter {
		return fmt.Errorf("alerts are not delivered: %w", n.failure)
	}
	return nil
}

// Run delivers until ctx ends, and returns nil then, when nothing is under way
// any more. It lets requests under way go on for a few seconds; what was not
// answered and recorded by then is for the next owner to repeat.
func (n *Notifier) Run(ctx context.Context) error {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	n.mu.Lock()
	n.healthyAt = n.cfg.Now()
	n.mu.Unlock()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		n.noteHealth(ctx, n.step(ctx, sending))
		select {
		case <-tick.C:
		case <-n.wake:
		case <-ctx.Done():
			n.finish(stop)
			return nil
		}
	}
}

// finish waits for what is under way, for shutdownGrace undisturbed.
func (n *Notifier) finish(stop context.CancelFunc) {
	done := make(chan struct{})
	go func() { defer close(done); n.workers.Wait() }()
	select {
	case <-done:
	case <-time.After(shutdownGrace):
		stop()
		<-done
	}
}

// noteHealth logs when looks begin to fail and when they succeed again.
func (n *Notifier) noteHealth(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	n.mu.Lock()
	before := n.failure
	n.failure = err
	if err == nil {
		n.healthyAt = n.cfg.Now()
	}
	n.mu.Unlock()
	switch {
	case err != nil && before == nil:
		n.cfg.Log.ErrorContext(ctx, "alerts cannot be delivered", "error", err)
	case err == nil && before != nil:
		n.cfg.Log.InfoContext(ctx, "alerts are delivered again")
	}
}

// step looks once for what is owed and starts what is due. Requests are bound
// to sending.
func (n *Notifier) step(ctx, sending context.Context) error {
	now := n.cfg.Now()
	if err := n.look(ctx, now); err != nil {
		return err
	}
	if len(n.open) == 0 {
		n.metrics.oldest.Set(0)
		return nil
	}
	// Before the tables are asked: what is recorded meanwhile is still busy.
	busy := n.begun()
	state, err := n.readState(ctx, n.open)
	if err != nil {
		return err
	}
	n.remember(state.progress, now)
	p := plan{now: now, busy: busy, state: state, topic: n.topic()}
	var done []incidentKey
	for id, i := range n.open {
		if p.add(i) {
			done = append(done, id)
		}
	}
	n.metrics.oldest.Set(p.oldest.Seconds())
	// Under another token next time: what stands by then is read first.
	if err := n.record(ctx, uuid.NewString(), p.settled...); err != nil {
		return err
	}
	for _, id := range done {
		delete(n.open, id)
	}
	n.start(sending, p.due)
	return nil
}

// look brings n.open up to date.
func (n *Notifier) look(ctx context.Context, now time.Time) error {
	owned := slices.Clone(n.cfg.Owned())
	slices.Sort(owned)
	full := !slices.Equal(owned, n.owned) || now.Sub(n.fullAt) >= fullLookEvery
	if full {
		n.owned, n.open, n.fullAt = owned, make(map[incidentKey]*incident), time.Time{}
	}
	if len(owned) == 0 {
		return nil
	}
	age := lookBack
	if !full {
		age = now.Sub(n.lookedAt) + lookOverlap
	}
	found, err := n.readIncidents(ctx, owned, age)
	if err != nil {
		return err
	}
	for _, i := range found {
		n.open[i.incidentKey] = i
	}
	n.lookedAt = now
	if full {
		n.fullAt = now
	}
	return nil
}

// topic is the destination of every incident, if there is one.
func (n *Notifier) topic() *destination {
	if n.cfg.Kafka == nil {
		return nil
	}
	return &destination{n.cfg.Topic, formatTopic}
}

// begun returns what is under way.
func (n *Notifier) begun() map[key]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	busy := make(map[key]bool, len(n.busy))
	for k := range n.busy {
		busy[k] = true
	}
	return busy
}

// remember adds what this process did to what was read, and forgets what any
// replica has by now.
func (n *Notifier) remember(read map[key]progress, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for k, mine := range n.known {
		if now.Sub(mine.at) > lookBack {
			delete(n.known, k)
			continue
		}
		if theirs := read[k]; theirs.outcome == "" && mine.attempts >= theirs.attempts {
			read[k] = mine
		}
	}
}
