package consumers

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/internal/storetest"
)

// through has consumers reach ClickHouse through a proxy.
func through(p *storetest.Proxy) func(*Config) {
	return func(c *Config) {
		options := *c.ClickHouse
		options.Addr = []string{p.Addr}
		c.ClickHouse = &options
	}
}

// TestConsumerSurvivesABrokenInsert: each table's first INSERTs lose their
// answer, break before they arrive or break in the middle of their data. The
// engine is the test's own because it aborts where an INSERT breaks off.
func TestConsumerSurvivesABrokenInsert(t *testing.T) {
	t.Parallel()
	engine := ownEngine(t)
	for name, f := range map[string]fate{"AnswerLost": deafen, "CutBefore": cut, "TornInTheMiddle": tear, "LostOnTheWay": swallow} {
		t.Run(name, func(t *testing.T) {
			db := engine.Database(t) // before an INSERT of another test makes the engine abort
			t.Parallel()
			r := newRig(t, db)
			r.retryMost = 200 * time.Millisecond
			var mu sync.Mutex
			broken := make(map[string]int)
			w := &wire{judge: func(c *wired, _ []byte) fate {
				mu.Lock()
				defer mu.Unlock()
				if !c.data || c.table == "ingest_progress" || broken[c.table] == 2 {
					return deliver
				}
				broken[c.table]++
				return f
			}}
			r.consume(r.traffic(1, 1000, 0.1)...)
			r.consume(r.broken(8)...)
			c := r.startWired(w, func(c *Config) { c.InsertTimeout = 2 * time.Second })
			r.requireExact()
			r.consume(r.traffic(2, 500, 0.1)...)
			r.requireExact()
			mu.Lock()
			defer mu.Unlock()
			for _, table := range []string{"events", "rejections", "ingest_batches"} {
				if broken[table] == 0 {
					t.Errorf("no INSERT into %s was broken", table)
				}
			}
			if n := c.counter(t, "drawdown_consumers_insert_errors_total"); n < 3 {
				t.Errorf("%v INSERTs failed, want at least 3", n)
			}
		})
	}
}

// TestConsumerLosesTheAcksOfClickHouse for a while, on every connection.
func TestConsumerLosesTheAcksOfClickHouse(t *testing.T) {
	t.Parallel()
	r := newRig(t, ownEngine(t).Database(t))
	r.retryMost = 200 * time.Millisecond
	proxy := storetest.NewProxy(t, r.options.Addr[0])
	c := r.start(through(proxy), func(c *Config) { c.InsertTimeout = 2 * time.Second })
	r.consume(r.traffic(1, 500, 0.1)...)
	r.requireExact()
	proxy.DropReplies(true)
	r.consume(r.traffic(2, 500, 0.1)...)
	r.consume(r.broken(4)...)
	r.wait("inserts go unanswered", func() bool { return c.counter(t, "drawdown_consumers_insert_errors_total") >= 2 })
	proxy.Cut()
	proxy.DropReplies(false)
	r.requireExact()
}

// TestConsumerWaitsForClickHouse at the start and later, keeps its membership
// and says that it is not ready.
func TestConsumerWaitsForClickHouse(t *testing.T) {
	t.Parallel()
	r := newRig(t, ownEngine(t).Database(t))
	proxy := storetest.NewProxy(t, r.options.Addr[0])
	proxy.Refuse(true)
	joins, beats := r.requests(kmsg.JoinGroup), r.requests(kmsg.Heartbeat)
	r.consume(r.traffic(1, 500, 0.1)...)
	c := r.start(through(proxy))
	r.wait("the consumer has joined and tries", func() bool { return beats.Load() > 5 && c.trouble() != nil })
	if c.Ready(t.Context()) == nil {
		t.Error("the consumer says it is ready without ClickHouse")
	}
	proxy.Refuse(false)
	r.requireExact()
	r.wait("the consumer is ready", func() bool { return c.Ready(t.Context()) == nil })

	proxy.Refuse(true)
	proxy.Cut()
	r.consume(r.traffic(2, 500, 0.1)...)
	r.consume(r.broken(4)...)
	// Longer than the session: the member must not be lost over it.
	before := beats.Load()
	r.wait("a session has passed", func() bool { return beats.Load() > before+20 })
	if c.Ready(t.Context()) == nil {
		t.Error("the consumer says it is ready after ClickHouse went away")
	}
	proxy.Refuse(false)
	r.requireExact()
	if n := joins.Load(); n > 2 { // one join may take two requests
		t.Errorf("the consumer has joined %d times: ClickHouse away made a rebalance", n)
	}
}

// TestConsumerIsUnhealthyWhileAPositionStandsStill: an INSERT hangs, no error
// says so, and health does; it is well again when the INSERT ends.
func TestConsumerIsUnhealthyWhileAPositionStandsStill(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	proxy := storetest.NewProxy(t, r.options.Addr[0])
	r.consume(r.traffic(1, 500, 0.1)...)
	c := r.start(through(proxy), func(cfg *Config) { cfg.StuckAfter = 2 * time.Second })
	r.requireExact()
	r.wait("the consumer is ready", func() bool { return c.Ready(t.Context()) == nil })
	if err := c.Live(t.Context()); err != nil {
		t.Errorf("a consumer with nothing to do is not healthy: %v", err)
	}
	proxy.Stall(true)
	r.consume(r.traffic(2, 500, 0.1)...)
	r.wait("health says that a partition stands still", func() bool {
		err := c.Live(t.Context())
		return err != nil && strings.Contains(err.Error(), "records waiting and has not moved")
	})
	if c.Ready(t.Context()) == nil {
		t.Error("the consumer says it is ready")
	}
	proxy.Stall(false)
	r.requireExact()
	r.wait("the consumer is healthy", func() bool { return c.Live(t.Context()) == nil })
}

// TestConsumerWaitsForKafka at the start and later.
func TestConsumerWaitsForKafka(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	proxy := storetest.NewProxy(t, r.broker.Addr)
	proxy.Refuse(true)
	r.consume(r.traffic(1, 500, 0.1)...)
	c := r.startThrough(proxy)
	r.wait("the consumer tries", func() bool { return c.fetchErrors.active() != nil })
	if c.Ready(t.Context()) == nil {
		t.Error("the consumer says it is ready without Kafka")
	}
	proxy.Refuse(false)
	r.requireExact()
	for range 2 {
		proxy.Refuse(true)
		proxy.Cut()
		r.consume(r.traffic(2, 500, 0.1)...)
		r.wait("the consumer tries", func() bool { return c.fetchErrors.active() != nil })
		proxy.Refuse(false)
		r.requireExact()
	}
	// Connections cut at any moment under load.
	for i := range 10 {
		r.consume(r.traffic(uint64(3+i), 200, 0.1)...)
		proxy.Cut()
	}
	r.requireExact()
	r.wait("the consumer is ready", func() bool { return c.Ready(t.Context()) == nil })
}

// startThrough has a consumer reach Kafka through a proxy.
func (r *rig) startThrough(p *storetest.Proxy, change ...func(*Config)) *consumer {
	r.t.Helper()
	return r.startDialled(func(c *Consumer) { c.dialKafka = p.Dial }, change...)
}

// TestZombieDoesNoHarm: a consumer that was silent for longer than its session
// comes back with an INSERT that its successor has made in its place.
func TestZombieDoesNoHarm(t *testing.T) {
	t.Parallel()
	r := newRig(t, ownEngine(t).Database(t))
	kafkaProxy, storeProxy := storetest.NewProxy(t, r.broker.Addr), storetest.NewProxy(t, r.options.Addr[0])
	zombie := r.startThrough(kafkaProxy, through(storeProxy), func(c *Config) { c.InsertTimeout = time.Minute })
	r.consume(r.traffic(1, 500, 0.1)...)
	r.requireExact()
	// Its filter has the ids of now in memory, also if it had to join again
	// meanwhile: it can build the batch that is held without ClickHouse.
	r.consume(r.onesIn(1, 1, "loads")...)
	r.requireExact()

	storeProxy.Stall(true)
	r.consume(r.onesIn(1, 300, "held")...)
	topic := r.broker.Topics.Consumption
	r.wait("the zombie has announced its INSERT", func() bool {
		offset, metadata := r.committed(topic, 1)
		in, err := parseIntent(metadata, offset)
		return err == nil && len(in.pending) > 0
	})
	kafkaProxy.Stall(true)
	successor := r.start()
	r.requireExact()
	kafkaProxy.Stall(false)
	storeProxy.Stall(false)
	r.wait("the zombie has joined again", func() bool { return len(zombie.partitions()) > 0 && len(successor.partitions()) < 12 })
	r.requireExact()
	r.consume(r.traffic(2, 1000, 0.1)...)
	r.requireExact()
}

// TestSuccessorWaitsForTheInsertOfAZombie that ClickHouse is still working on:
// comparing while it does would mend what is about to come.
func TestSuccessorWaitsForTheInsertOfAZombie(t *testing.T) {
	t.Parallel()
	engine := ownEngine(t)
	r := newRig(t, engine.Database(t))
	var silent, waiting atomic.Bool
	w := &wire{judge: func(c *wired, _ []byte) fate {
		if c.data && c.table == "events" {
			waiting.Store(true)
			return swallow // the server has the query and waits for its data
		}
		return when(c.kafka && silent.Load(), swallow)
	}}
	r.consume(r.onesIn(1, 300, "id")...)
	r.startWired(w, func(c *Config) { c.InsertTimeout = 45 * time.Second })
	r.wait("the zombie's INSERT waits for data", waiting.Load)
	silent.Store(true)
	successor := r.start()
	r.wait("the successor waits for it", func() bool {
		for _, p := range successor.partitions() {
			if p.topic == r.broker.Topics.Consumption && p.id == 1 {
				return p.health() != nil
			}
		}
		return false
	})
	r.requireExact()
}

// TestConsumerSendsNothingWithoutALease: when Kafka has not answered for a
// session, somebody else may own the partition.
func TestConsumerSendsNothingWithoutALease(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	var silent, refused atomic.Bool
	var sentLate atomic.Int64
	w := &wire{judge: func(c *wired, _ []byte) fate {
		switch {
		case c.kafka:
			return when(silent.Load(), swallow)
		case refused.Load():
			return cut
		case silent.Load() && c.table != "" && c.table != "ingest_progress" && !c.data:
			sentLate.Add(1)
		}
		return deliver
	}}
	zombie := r.startWired(w)
	r.consume(r.traffic(1, 300, 0.1)...)
	r.requireExact()
	refused.Store(true)
	r.consume(r.traffic(2, 300, 0.1)...)
	r.wait("its inserts fail", func() bool { return zombie.counter(t, "drawdown_consumers_insert_errors_total") > 0 })
	silent.Store(true)
	r.start()
	r.requireExact() // by the other, after the session
	refused.Store(false)
	r.consume(r.traffic(3, 300, 0.1)...)
	r.requireExact()
	if n := sentLate.Load(); n != 0 {
		t.Errorf("%d INSERTs were sent without a lease", n)
	}
	silent.Store(false)
	r.wait("the zombie has joined again", func() bool { return len(zombie.partitions()) > 0 })
	r.consume(r.traffic(4, 300, 0.1)...)
	r.requireExact()
}

// TestConsumersShareAGroupThatNeverRests: members come and go while events
// arrive, one in twenty of them twice.
func TestConsumersShareAGroupThatNeverRests(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	const rounds, events = 10, 20_000
	members := []*consumer{r.start(), r.start()}
	var before []sent
	for round := range rounds {
		all := r.traffic(uint64(round), events, 0.05)
		for i := range len(before) / 20 {
			all = append(all, before[i*20])
		}
		members = append(members, r.start())
		for i, part := range chunks(all, 4) {
			r.consume(part...)
			if i == 1 {
				members[0].mustStop(t)
				members = members[1:]
			}
		}
		before = all
	}
	r.requireExact()
	if n := r.number(`SELECT count() FROM events`); n != rounds*events {
		t.Errorf("%d events are counted, want %d", n, rounds*events)
	}
}

func chunks[T any](all []T, n int) (parts [][]T) {
	for i := range n {
		parts = append(parts, all[len(all)*i/n:len(all)*(i+1)/n])
	}
	return parts
}

// TestConsumersAreKilledInAGroup: members are killed in mid-batch again
// and again while others take over.
func TestConsumersAreKilledInAGroup(t *testing.T) {
	t.Parallel()
	r := newRig(t, ownEngine(t).Database(t))
	r.start()
	for i, step := range []string{"InTheMiddleOfTheInsert", "BetweenInsertAndLedger", "WhileTheIntentIsCommitted", "BetweenLedgerAndDone"} {
		dead, require := r.startCrash(step)
		for n, alive := 0, true; alive; n++ { // it dies at a batch of its own
			r.consume(r.traffic(uint64(100*i+n), 300, 0.1)...)
			r.consume(r.broken(4)...)
			select {
			case <-dead:
				alive = false
			case <-time.After(300 * time.Millisecond):
			}
		}
		require()
	}
	r.requireExact()
}
