package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/oracle"
	"github.com/drawdown/drawdown/schemas"
)

const (
	workspaces = 6
	campaigns  = 4 // of each workspace, and what belongs to none
	// tick is how often the producer sends, and perTick how many events at the
	// most: some hundreds a second leave two shared cores to what is tested.
	tick    = 50 * time.Millisecond
	perTick = 40
	// remembered is how many events are kept to be sent again: from all of the
	// campaign, evenly, so that a long one repeats what is hours old.
	remembered = 20_000
)

var actions = []string{"lead_sourced", "email_sent", "call_made"}

// message is a record for a partition of a topic.
type message struct {
	topic     string
	partition int
	key       []byte
	value     []byte
	at        time.Time // of the record
}

// state is the latest state of a campaign.
type state struct {
	at     schemas.Millis
	status string
}

// load is the producer: it sends without end until it is paused, and knows what
// that must add up to. An event enters the truth when it is made, and is sent
// until Kafka has acknowledged it, twice at times.
type load struct {
	t      testing.TB
	s      *stack
	cancel context.CancelFunc
	done   chan struct{}

	mu         sync.Mutex // held while a tick is under way: paused means locked
	rng        *rand.Rand
	seed       uint64
	made       int
	usage      oracle.Usage
	entries    map[[2]string]oracle.Sum // of the ledger, by workspace and type
	states     map[[2]string]state      // by workspace and campaign
	stateRows  map[string]int           // by table
	past       []message                // sample of what was sent
	repeats    int                      // records sent again on purpose
	skew       time.Duration            // how wrong the producer's clock is
	burst      int                      // further events of the next tick
	unsent     []message                // made while Kafka is away
	unanswered int                      // produce requests that failed
}

func startLoad(t testing.TB, s *stack, seed uint64) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{
		t: t, s: s, cancel: cancel, done: make(chan struct{}), rng: rand.New(rand.NewPCG(seed, 1)), seed: seed,
		usage: make(oracle.Usage), entries: make(map[[2]string]oracle.Sum), states: make(map[[2]string]state), stateRows: make(map[string]int),
	}
	l.setup()
	go l.run(ctx)
	t.Cleanup(l.stop)
	return l
}

func (l *load) stop() {
	l.cancel()
	<-l.done
}

func (l *load) run(ctx context.Context) {
	defer close(l.done)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		l.mu.Lock()
		l.make()
		l.flush(ctx)
		l.mu.Unlock()
	}
}

// pause returns when everything that was made is acknowledged, and keeps the
// producer still until resume.
func (l *load) pause() error {
	l.mu.Lock()
	err := l.sendUnsent()
	if err != nil {
		l.mu.Unlock()
	}
	return err
}

// sendUnsent sends until everything is acknowledged.
func (l *load) sendUnsent() error {
	for began := time.Now(); ; time.Sleep(tick) {
		l.flush(context.Background())
		if len(l.unsent) == 0 {
			return nil
		}
		if time.Since(began) > settleWithin {
			return fmt.Errorf("kafka has not taken %d records within %s", len(l.unsent), settleWithin)
		}
	}
}

// aside makes events that are not in the truth, nor remembered, yet.
func (l *load) aside(w, n int) (events []*schemas.Event) {
	for range n {
		ev := l.consumption(w)
		l.name(ev)
		events = append(events, ev)
	}
	return events
}

// sendAll sends events that were set aside.
func (l *load) sendAll(events []*schemas.Event) error {
	for _, ev := range events {
		l.unsent = append(l.unsent, l.message(ev))
	}
	return l.sendUnsent()
}

// own takes events into the truth that were set aside, and queues them again.
func (l *load) own(events []*schemas.Event) {
	for _, ev := range events {
		l.take(ev)
	}
}

func (l *load) resume() { l.mu.Unlock() }

// with changes the producer between two ticks.
func (l *load) with(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func workspaceID(i int) string { return fmt.Sprintf("ws_%d", i) }

// setup names everything and grants far more than can be used, from before any
// event, so that a balance is a difference of sums.
func (l *load) setup() {
	longAgo := schemas.MillisOf(time.Now().AddDate(0, 0, -40).Truncate(24 * time.Hour))
	for w := range workspaces {
		id := workspaceID(w)
		l.say(&schemas.Event{Type: schemas.WorkspaceUpdated, Time: longAgo, WorkspaceID: []byte(id), Name: []byte("Workspace " + id), TimeZone: []byte("UTC")})
		for c := range campaigns {
			l.say(&schemas.Event{
				Type: schemas.CampaignUpdated, Time: longAgo, WorkspaceID: []byte(id), CampaignID: campaignID(c),
				Name: []byte("Campaign"), Status: []byte("ACTIVE"), StartsAt: schemas.NoInstant, EndsAt: schemas.NoInstant,
			})
		}
		l.grant(id, longAgo, 1_000_000_000)
	}
}

func campaignID(i int) []byte { return fmt.Appendf(nil, "cmp_%d", i) }

func (l *load) grant(workspace string, at schemas.Millis, credits int64) {
	l.say(&schemas.Event{
		Type: schemas.CreditsGranted, Time: at, WorkspaceID: []byte(workspace), GrantID: fmt.Appendf(nil, "grant_%d", l.made),
		Class: schemas.Paid, Credits: schemas.Credits(credits) * schemas.MicrosPerCredit, EffectiveAt: at, ExpiresAt: schemas.NoInstant, Actor: []byte("faults"),
	})
}

// make makes the events of one tick: mostly of now, some late by up to ten days,
// some refunds, some records again, rarely a grant or a new state of a campaign.
func (l *load) make() {
	for range l.rng.IntN(perTick) + l.burst {
		l.consume(l.rng.IntN(workspaces))
		if l.rng.IntN(20) == 0 {
			l.repeat(1)
		}
	}
	l.burst = 0
	w := l.rng.IntN(workspaces)
	now := schemas.MillisOf(l.now())
	switch l.rng.IntN(40) {
	case 0:
		l.grant(workspaceID(w), now-40*24*3_600_000, int64(1+l.rng.IntN(1000)))
	case 1:
		l.say(&schemas.Event{
			Type: schemas.CreditsAdjusted, Time: now - 40*24*3_600_000, WorkspaceID: []byte(workspaceID(w)),
			Credits: schemas.Credits(1 + l.rng.Int64N(1_000_000_000)), Note: []byte("goodwill"), Actor: []byte("faults"),
		})
	case 2:
		l.say(&schemas.Event{
			Type: schemas.CampaignUpdated, Time: now, WorkspaceID: []byte(workspaceID(w)), CampaignID: campaignID(l.rng.IntN(campaigns)),
			Name: []byte("Campaign"), Status: []byte([]string{"ACTIVE", "PAUSED"}[l.rng.IntN(2)]), StartsAt: schemas.NoInstant, EndsAt: schemas.NoInstant,
		})
	}
}

// now is the producer's clock.
func (l *load) now() time.Time { return time.Now().Add(l.skew) }

func (l *load) consume(w int) { l.say(l.consumption(w)) }

func (l *load) consumption(w int) *schemas.Event {
	ev := &schemas.Event{
		Type: schemas.CreditsConsumed, Time: schemas.MillisOf(l.now()), WorkspaceID: []byte(workspaceID(w)),
		Action: []byte(actions[l.rng.IntN(len(actions))]), Actor: fmt.Appendf(nil, "agent:%d", l.rng.IntN(5)),
		Credits: schemas.Credits(1 + l.rng.Int64N(3_000_000)),
	}
	if l.rng.IntN(30) == 0 {
		ev.Time -= schemas.Millis(l.rng.Int64N(10 * 24 * 3_600_000))
	}
	if l.rng.IntN(20) == 0 {
		ev.Credits = -ev.Credits
	}
	if c := l.rng.IntN(campaigns + 1); c < campaigns {
		ev.CampaignID = campaignID(c)
	}
	return ev
}

// name gives an event its id.
func (l *load) name(ev *schemas.Event) {
	l.made++
	ev.ID, ev.Source = fmt.Appendf(nil, "%d-%d", l.seed, l.made), []byte("/faults")
}

// say names an event and takes it into the truth.
func (l *load) say(ev *schemas.Event) {
	l.name(ev)
	l.take(ev)
}

// take takes an event into the truth and queues its record.
func (l *load) take(ev *schemas.Event) {
	workspace := string(ev.WorkspaceID)
	switch ev.Type {
	case schemas.CreditsConsumed:
		l.usage.Count(ev)
	case schemas.CreditsGranted, schemas.CreditsAdjusted, schemas.GrantVoided:
		key := [2]string{workspace, ev.Type.String()}
		sum := l.entries[key]
		one := oracle.Usage{}
		one.Count(ev)
		for _, s := range one {
			sum.Events += s.Events
			sum.Micro.Add(&sum.Micro, &s.Micro)
		}
		l.entries[key] = sum
	case schemas.CampaignUpdated:
		key := [2]string{workspace, string(ev.CampaignID)}
		if ev.Time >= l.states[key].at {
			l.states[key] = state{ev.Time, string(ev.Status)}
		}
		l.stateRows["campaigns"]++
	case schemas.WorkspaceUpdated:
		l.stateRows["workspaces"]++
	}
	m := l.message(ev)
	l.unsent = append(l.unsent, m)
	// Reservoir sampling: every record so far is kept with the same chance.
	if len(l.past) < remembered {
		l.past = append(l.past, m)
	} else if at := l.rng.IntN(l.made); at < remembered {
		l.past[at] = m
	}
}

func (l *load) message(ev *schemas.Event) message {
	return message{
		topic: l.s.topics.Name(ev.Type.Topic()), partition: schemas.Partition(ev.WorkspaceID, partitions),
		key: ev.WorkspaceID, value: schemas.EncodeEvent(ev), at: l.now(),
	}
}

// repeat queues records again that were sent before, however long ago.
func (l *load) repeat(n int) {
	for range n {
		again := l.past[l.rng.IntN(len(l.past))]
		again.at = l.now()
		l.unsent = append(l.unsent, again)
	}
	l.repeats += n
}

// flush sends what is queued; what is not acknowledged stays queued, and may be
// in the log all the same.
func (l *load) flush(ctx context.Context) {
	byPartition := make(map[partitionID][]message)
	for _, m := range l.unsent {
		id := partitionID{m.topic, m.partition}
		byPartition[id] = append(byPartition[id], m)
	}
	l.unsent = nil
	away := false // then the others need not wait for it as well
	for id, messages := range byPartition {
		sent := 0
		for sent < len(messages) && !away {
			part := messages[sent:min(sent+500, len(messages))]
			if err := l.produce(ctx, id, part); err != nil {
				l.unanswered++
				away = true
				break
			}
			sent += len(part)
		}
		l.unsent = append(l.unsent, messages[sent:]...)
	}
}

func (l *load) produce(ctx context.Context, id partitionID, messages []message) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	records := make([]kafka.Record, len(messages))
	for i, m := range messages {
		records[i] = kafka.Record{Time: m.at, Key: kafka.NewBytes(m.key), Value: kafka.NewBytes(m.value)}
	}
	response, err := l.s.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: id.topic, Partition: id.id, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...), Compression: kafka.Lz4,
	})
	if err != nil {
		return err
	}
	for _, refused := range response.RecordErrors {
		err = errors.Join(err, refused)
	}
	return errors.Join(response.Error, err)
}

// truth is a copy of what all figures must be, while the load is paused.
type truth struct {
	usage     oracle.Usage
	entries   map[[2]string]oracle.Sum
	states    map[[2]string]state
	stateRows map[string]int
}

func (l *load) truth() *truth {
	return &truth{l.usage, maps.Clone(l.entries), maps.Clone(l.states), maps.Clone(l.stateRows)}
}
