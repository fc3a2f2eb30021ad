package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// rig is a broker, a database and the consumers of one group on them.
type rig struct {
	t       testing.TB
	broker  *storetest.Broker
	client  *kafka.Client
	options *clickhouse.Options // of the consumers
	db      driver.Conn         // of the test
	parts   int
	epoch   uint32
	limits  schemas.Limits

	retryMost time.Duration // see Consumer

	log  *kgo.Client // the oracle's view of the log
	past []map[partitionID][]logged
	read map[partitionID][]logged
}

func newRig(t testing.TB, db *storetest.Database) *rig {
	t.Helper()
	return newRigOn(t, storetest.Kafka(t, storetest.KafkaOptions{}), db)
}

func newRigOn(t testing.TB, broker *storetest.Broker, db *storetest.Database) *rig {
	t.Helper()
	r := &rig{
		t: t, broker: broker, client: broker.Client(t), options: db.Options(), db: db.Conn(t), parts: 4, epoch: 1,
		limits: schemas.DefaultLimits(),
	}
	r.watchIntents()
	return r
}

// ownEngine is an engine that starts again when it aborts, as it does where an
// INSERT breaks off: tests that have that happen must not share it. Subtests
// take their databases from it before they run beside each other.
func ownEngine(t testing.TB) *storetest.Engine {
	t.Helper()
	return storetest.NewEngine(t, storetest.EngineOptions{AutoRestart: true})
}

// consumer is one running member of the group.
type consumer struct {
	*Consumer
	cancel context.CancelFunc // begins the stop
	stop   func() error       // waits for it
}

// config is what consumers of the rig start from: short timeouts, so that
// tests of lost members take seconds.
func (r *rig) config() Config {
	return Config{
		Brokers: []string{r.broker.Addr}, Group: "drawdown", Topics: r.broker.Topics, Partitions: r.parts, Epoch: r.epoch,
		ClickHouse: r.options, Limits: r.limits,
		Linger: 20 * time.Millisecond, SessionTimeout: 3 * time.Second, InsertTimeout: 20 * time.Second,
		Log: slog.New(slog.NewTextHandler(testWriter{r.t}, nil)),
	}
}

// start runs a consumer until stop or the end of the test.
func (r *rig) start(change ...func(*Config)) *consumer {
	r.t.Helper()
	return r.startDialled(func(*Consumer) {}, change...)
}

// startWired is start with everything the consumer says judged by a wire.
func (r *rig) startWired(w *wire, change ...func(*Config)) *consumer {
	r.t.Helper()
	dialled := func(c *Config) {
		options := *c.ClickHouse
		options.DialContext = w.dialClickHouse
		c.ClickHouse = &options
	}
	return r.startDialled(func(c *Consumer) { c.dialKafka = w.dialKafka }, append(change, dialled)...)
}

// startDialled runs a consumer after dial has set its seams.
func (r *rig) startDialled(dial func(*Consumer), change ...func(*Config)) *consumer {
	r.t.Helper()
	config := r.config()
	for _, f := range change {
		f(&config)
	}
	c, err := New(config)
	if err != nil {
		r.t.Fatal(err)
	}
	c.retryMost = r.retryMost
	dial(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	r.t.Cleanup(func() {
		if err := stop(); err != nil {
			r.t.Errorf("consumer stopped with %v", err)
		}
	})
	return &consumer{c, cancel, stop}
}

// mustStop drains the consumer.
func (c *consumer) mustStop(t testing.TB) {
	t.Helper()
	if err := c.stop(); err != nil {
		t.Fatalf("consumer stopped with %v", err)
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) { w.t.Logf("%s", p); return len(p), nil }

// sent is one record to produce.
type sent struct {
	partition int
	key       []byte
	value     []byte
	headers   []kafka.Header
	time      time.Time
}

// event encodes an event into a record of the right partition.
func (r *rig) event(ev *schemas.Event) sent {
	return sent{
		partition: schemas.Partition(ev.WorkspaceID, r.parts), key: slices.Clone(ev.WorkspaceID), value: schemas.EncodeEvent(ev), time: time.Now(),
	}
}

// consumed is the event of one use of credits, in the right partition.
func (r *rig) consumed(ws, id, campaign, action string, credits schemas.Credits, at time.Time) sent {
	return r.event(&schemas.Event{
		Type: schemas.CreditsConsumed, ID: []byte(id), Source: []byte("/test"), Time: schemas.MillisOf(at),
		WorkspaceID: []byte(ws), CampaignID: []byte(campaign), Action: []byte(action), Actor: []byte("agent:test"), Credits: credits,
	})
}

// one is a consumption of one credit now.
func (r *rig) one(ws, id string) sent {
	return r.consumed(ws, id, "cmp_1", "action_1", schemas.MicrosPerCredit, time.Now())
}

// workspaceIn returns a workspace of partition p.
func (r *rig) workspaceIn(p int) string {
	for i := 0; ; i++ {
		if ws := fmt.Sprintf("ws_in_%d_%d", p, i); schemas.Partition([]byte(ws), r.parts) == p {
			return ws
		}
	}
}

// onesIn are n consumptions of one credit each in partition p.
func (r *rig) onesIn(p, n int, prefix string) []sent {
	ws := r.workspaceIn(p)
	out := make([]sent, n)
	for i := range out {
		out[i] = r.one(ws, fmt.Sprintf("%s-%d", prefix, i))
	}
	return out
}

// traffic makes n events over some workspaces, campaigns, actions and the last
// day, a share of them sent twice, some refunds.
func (r *rig) traffic(seed uint64, n int, duplicates float64) []sent {
	rng := rand.New(rand.NewPCG(seed, 1))
	now := time.Now().Truncate(time.Millisecond)
	out := make([]sent, 0, n)
	for i := range n {
		ws := fmt.Sprintf("ws_%d", rng.IntN(20))
		credits := schemas.Credits(1+rng.IntN(5)) * schemas.MicrosPerCredit
		if rng.IntN(20) == 0 {
			credits = -credits / 3
		}
		campaign := ""
		if c := rng.IntN(6); c > 0 {
			campaign = fmt.Sprintf("cmp_%d", c)
		}
		at := now.Add(-time.Duration(rng.Int64N(int64(24 * time.Hour))))
		s := r.consumed(ws, fmt.Sprintf("id-%d-%d", seed, i), campaign, fmt.Sprintf("action_%d", rng.IntN(3)), credits, at)
		out = append(out, s)
		if rng.Float64() < duplicates {
			out = append(out, out[rng.IntN(len(out))])
		}
	}
	return out
}

// exec runs a statement, and again while the engine is away: tests kill it, and
// consumers that die in the middle of an INSERT make it abort.
func (r *rig) exec(query string, args ...any) {
	r.t.Helper()
	for began := time.Now(); ; {
		var refused *clickhouse.Exception
		err := r.db.Exec(context.Background(), query, args...)
		if err == nil {
			return
		}
		if errors.As(err, &refused) || time.Since(began) > engineAwayAtMost {
			r.t.Fatalf("cannot run %q: %v", query, err)
		}
		time.Sleep(50 * time.Millisecond) // as storetest.Wait does
	}
}

// engineAwayAtMost is how long statements wait for an engine that aborted: the
// supervisor backs off for longer each time, and the machine may be loaded.
const engineAwayAtMost = 5 * time.Minute

// collect reads all rows of a query, from the start again while the engine is
// away: tests kill it.
func collect[T any](r *rig, query string, scan func(driver.Rows) (T, error), args ...any) []T {
	r.t.Helper()
	return steadily(r, fmt.Sprintf("run %q", query), func() ([]T, error) { return collectOnce(r, query, scan, args...) })
}

// steadily reads again while the engine is being started anew.
func steadily[T any](r *rig, what string, read func() (T, error)) T {
	r.t.Helper()
	for began := time.Now(); ; {
		v, err := read()
		if err == nil {
			return v
		}
		if time.Since(began) > engineAwayAtMost {
			r.t.Fatalf("cannot %s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond) // as storetest.Wait does
	}
}

func collectOnce[T any](r *rig, query string, scan func(driver.Rows) (T, error), args ...any) (all []T, err error) {
	rows, err := r.db.Query(context.Background(), query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// scalar scans a row of one column.
func scalar[T any](rows driver.Rows) (v T, err error) {
	err = rows.Scan(&v)
	return v, err
}

// number is the one UInt64 of a query.
func (r *rig) number(query string, args ...any) uint64 {
	r.t.Helper()
	return collect(r, query, scalar[uint64], args...)[0]
}

// waitAtMost bounds what takes seconds on an idle machine.
const waitAtMost = 5 * time.Minute

// wait polls until cond holds.
func (r *rig) wait(what string, cond func() bool) {
	r.t.Helper()
	storetest.Wait(r.t, waitAtMost, what, func() (bool, error) { return cond(), nil })
}

// requireParked waits until a partition is parked and requires the reason.
func (c *consumer) requireParked(t testing.TB, topic string, id int, want string) {
	t.Helper()
	if got := c.parked(t, topic, id); got != want {
		t.Errorf("%s/%d is parked for %s, want %s", topic, id, got, want)
	}
}

// parked waits until a partition of the topic is parked and returns why.
func (c *consumer) parked(t testing.TB, topic string, id int) (reason string) {
	t.Helper()
	storetest.Wait(t, waitAtMost, fmt.Sprintf("%s/%d is parked", topic, id), func() (bool, error) {
		for _, p := range c.partitions() {
			if p.topic != topic || p.id != id {
				continue
			}
			p.mu.Lock()
			why := p.parked
			p.mu.Unlock()
			if why != nil {
				reason = why.reason
				return true, nil
			}
		}
		return false, nil
	})
	return reason
}
