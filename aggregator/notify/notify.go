package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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
	// fullLookEvery is how often all of lookBack is looked at all the same, for
	// destinations that were named since and rows that came later than that.
	fullLookEvery = 10 * time.Minute
	// overflowLookEvery is how often while more is owed than is kept at hand.
	overflowLookEvery = 10 * time.Second
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
	bounds bounds
	owned  []int
	open   map[incidentKey]*incident // not settled everywhere, as far as is known
	openOf map[string]int            // the same, counted by workspace
	looks  looks

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

// bounds are those of memory, at about 1 kB an incident. What is not kept at
// hand is found again by the next full look, so they delay and lose nothing.
type bounds struct {
	page    int // what one question finds
	open    int // what is kept at hand
	openOwn int // the same of one workspace, so that it leaves room for others
}

// defaultBounds: more is owed at a time only where very many campaigns cross
// their quotas together, or a receiver of those is away.
var defaultBounds = bounds{page: 5_000, open: 20_000, openOwn: 5_000}

// looks says what the next step has to look at: what is fresh, and a page of a
// full look, which goes through all of lookBack in the order of incidents.
type looks struct {
	freshAt time.Time   // the last look for what is fresh began then
	fullAt  time.Time   // the last full look began then; zero: none has
	under   bool        // it goes on behind after
	after   incidentKey // the last one seen
	more    bool        // something is owed that is not at hand
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
		bounds:  defaultBounds,
		open:    make(map[incidentKey]*incident),
		openOf:  make(map[string]int),
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
	n.own(now)
	before := n.looks
	err := n.stepOver(ctx, sending, now)
	if err != nil {
		n.looks = before // what was found is to be found again
	}
	return err
}

// own forgets what it knew of others' partitions.
func (n *Notifier) own(now time.Time) {
	owned := slices.Clone(n.cfg.Owned())
	slices.Sort(owned)
	if !slices.Equal(owned, n.owned) {
		n.owned, n.open, n.openOf = owned, make(map[incidentKey]*incident), make(map[string]int)
		n.looks = looks{freshAt: now}
	}
}

func (n *Notifier) stepOver(ctx, sending context.Context, now time.Time) error {
	about, err := n.look(ctx, now)
	if err != nil {
		return err
	}
	tests, err := n.readTests(ctx)
	if err != nil {
		return err
	}
	if len(about)+len(tests) == 0 {
		n.metrics.oldest.Set(0)
		return nil
	}
	// Before the tables are asked: what is recorded meanwhile is still busy.
	busy := n.begun()
	state, err := n.readState(ctx, about, tests)
	if err != nil {
		return err
	}
	n.remember(state.progress, now)
	p := plan{now: now, busy: busy, state: state, topic: n.topic()}
	var done, owed []*incident
	for _, i := range about {
		if p.add(i) {
			done = append(done, i)
		} else {
			owed = append(owed, i)
		}
	}
	for _, t := range tests {
		p.addTest(t)
	}
	n.metrics.oldest.Set(p.oldest.Seconds())
	// Under another token next time: what stands by then is read first.
	if err := n.record(ctx, uuid.NewString(), p.settled...); err != nil {
		return err
	}
	n.keepAtHand(done, owed)
	n.start(sending, p.due)
	return nil
}

// look returns what there is to plan: what is at hand, what is fresh and a page
// of everything, if a full look is under way.
func (n *Notifier) look(ctx context.Context, now time.Time) (map[incidentKey]*incident, error) {
	if len(n.owned) == 0 {
		return nil, nil
	}
	about := maps.Clone(n.open)
	fresh, err := n.readFresh(ctx, now.Sub(n.looks.freshAt)+lookOverlap)
	if err != nil {
		return nil, err
	}
	maps.Copy(about, fresh)
	n.looks.freshAt = now
	if len(fresh) == n.bounds.page {
		n.looks.more = true
	}
	return about, n.lookAtPage(ctx, now, about)
}

// lookAtPage adds the next page of a full look to about, if one is under way
// or due.
func (n *Notifier) lookAtPage(ctx context.Context, now time.Time, about map[incidentKey]*incident) error {
	l := &n.looks
	every := fullLookEvery
	if l.more {
		every = overflowLookEvery
	}
	if !l.under {
		if now.Sub(l.fullAt) < every {
			return nil
		}
		*l = looks{freshAt: l.freshAt, fullAt: now}
	}
	page, err := n.readPage(ctx, l.after)
	if err != nil {
		return err
	}
	maps.Copy(about, page)
	for k := range page {
		if cmp.Or(cmp.Compare(k.workspaceID, l.after.workspaceID), cmp.Compare(k.incidentID, l.after.incidentID)) > 0 {
			l.after = k
		}
	}
	if l.under = len(page) == n.bounds.page; l.under {
		n.Wake() // for the next one
	}
	return nil
}

// keepAtHand has what is owed be looked at by every step, as far as there is
// room. The oldest are kept first; the rest is for the next full look.
func (n *Notifier) keepAtHand(done, owed []*incident) {
	for _, i := range done {
		if n.open[i.incidentKey] != nil {
			delete(n.open, i.incidentKey)
			if n.openOf[i.workspaceID]--; n.openOf[i.workspaceID] == 0 {
				delete(n.openOf, i.workspaceID)
			}
		}
	}
	slices.SortFunc(owed, func(a, b *incident) int { return a.firing.recordedAt.Compare(b.firing.recordedAt) })
	for _, i := range owed {
		switch {
		case n.open[i.incidentKey] != nil:
			n.open[i.incidentKey] = i // it may be resolved by now
		case len(n.open) >= n.bounds.open || n.openOf[i.workspaceID] >= n.bounds.openOwn:
			n.looks.more = true
		default:
			n.open[i.incidentKey] = i
			n.openOf[i.workspaceID]++
		}
	}
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
