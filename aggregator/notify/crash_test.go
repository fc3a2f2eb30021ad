package notify

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/internal/storetest"
)

// TestRepeatAfterACrashHasTheSameID: ClickHouse goes away the moment the
// receiver has the message, so its outcome cannot be recorded; then the process
// ends.
func TestRepeatAfterACrashHasTheSameID(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	away := &awayConn{Conn: r.conn}
	first := r.notifier(func(c *Config) { c.ClickHouse = away })
	ctx, kill := context.WithCancel(t.Context())
	var once sync.Once
	hook := newReceiver(t, func(_ got, w http.ResponseWriter) {
		once.Do(func() { away.away.Store(true) })
		w.WriteHeader(http.StatusOK)
	})
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard(hook.URL)}})
	r.incident("ws_a", "rule_1", "i1", "firing")
	if err := first.step(t.Context(), ctx); err != nil {
		t.Fatal(err)
	}
	storetest.Wait(t, time.Minute, "the outcome could not be recorded", func() (bool, error) { return away.refused.Load() > 0, nil })
	kill()
	first.workers.Wait()
	r.want("i1/firing")
	r.settle()
	if ids := hook.ids(); !slices.Equal(ids, []string{"i1/firing", "i1/firing"}) {
		t.Fatalf("%q", ids)
	}
	if a, b := hook.requests()[0], hook.requests()[1]; !bytes.Equal(a.body, b.body) {
		t.Errorf("%s became %s", a.body, b.body)
	}
	r.want("i1/firing", "delivered")
}

// awayConn takes no INSERT while it is away.
type awayConn struct {
	driver.Conn
	away    atomic.Bool
	refused atomic.Int32
}

func (c *awayConn) PrepareBatch(ctx context.Context, query string, o ...driver.PrepareBatchOption) (driver.Batch, error) {
	if c.away.Load() {
		c.refused.Add(1)
		return nil, syscall.ECONNREFUSED
	}
	return c.Conn.PrepareBatch(ctx, query, o...)
}

// TestRequestThatIsCutOffIsNoFailure: the end of this process says nothing
// about the receiver, and must not make the next one wait.
func TestRequestThatIsCutOffIsNoFailure(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	arrived, release := make(chan struct{}, 2), make(chan struct{})
	hook := newReceiver(t, func(_ got, w http.ResponseWriter) {
		arrived <- struct{}{}
		<-release
		w.WriteHeader(http.StatusOK)
	})
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard(hook.URL)}})
	r.incident("ws_a", "rule_1", "i1", "firing")
	sending, stop := context.WithCancel(t.Context())
	if err := r.n.step(t.Context(), sending); err != nil {
		t.Fatal(err)
	}
	<-arrived
	stop()
	r.n.workers.Wait()
	close(release)
	r.want("i1/firing")
	r.n = r.notifier()
	r.step()
	r.want("i1/firing", "delivered")
}

// TestDeliveryThatEndsDuringALookIsNotRepeated: the look has read the tables
// when its outcome is recorded, and something else to record itself.
func TestDeliveryThatEndsDuringALookIsNotRepeated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hooked := &hookedConn{Conn: r.conn}
	r.n = r.notifier(func(c *Config) { c.ClickHouse = hooked })
	release := make(chan struct{})
	hook := newReceiver(t, func(_ got, w http.ResponseWriter) {
		<-release
		w.WriteHeader(http.StatusOK)
	})
	until := r.clock.now().Add(time.Hour)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard(hook.URL)}})
	r.rule(testRule{workspace: "ws_a", id: "silent", silencedUntil: &until, webhooks: []map[string]string{standard(hook.URL)}})
	r.incident("ws_a", "rule_1", "i1", "firing")
	if err := r.n.step(t.Context(), t.Context()); err != nil {
		t.Fatal(err)
	}
	r.incident("ws_a", "silent", "i2", "firing")
	during := func() {
		close(release)
		storetest.Wait(t, time.Minute, "the delivery is recorded", func() (bool, error) { return len(r.n.begun()) == 0, nil })
	}
	hooked.before.Store(&during)
	r.step()
	r.want("i1/firing", "delivered")
	r.want("i2/firing", "silenced")
	if ids := hook.ids(); len(ids) != 1 {
		t.Errorf("%q", ids)
	}
}

// hookedConn runs before, once, before the next INSERT.
type hookedConn struct {
	driver.Conn
	before atomic.Pointer[func()]
}

func (c *hookedConn) PrepareBatch(ctx context.Context, query string, o ...driver.PrepareBatchOption) (driver.Batch, error) {
	if before := c.before.Swap(nil); before != nil {
		(*before)()
	}
	return c.Conn.PrepareBatch(ctx, query, o...)
}

// TestOutcomeIsRecordedOnceThoughTheAnswerIsLost: the row arrives, the answer
// of ClickHouse does not; the repeat is none.
func TestOutcomeIsRecordedOnceThoughTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	lossy := &lossyConn{Conn: r.conn, lose: 2 * insertAttempts}
	r.n = r.notifier(func(c *Config) { c.ClickHouse = lossy })
	hook := newReceiver(t, nil)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard(hook.URL)}})
	r.incident("ws_a", "rule_1", "i1", "firing")
	r.settle()
	r.want("i1/firing", "delivered")
	if len(hook.ids()) != 1 || lossy.lose != 0 {
		t.Errorf("%q, %d answers still to lose", hook.ids(), lossy.lose)
	}
}

// lossyConn loses the answers of the next INSERTs.
type lossyConn struct {
	driver.Conn
	lose int // of one goroutine at a time
}

func (c *lossyConn) PrepareBatch(ctx context.Context, query string, o ...driver.PrepareBatchOption) (driver.Batch, error) {
	b, err := c.Conn.PrepareBatch(ctx, query, o...)
	return lossyBatch{b, c}, err
}

type lossyBatch struct {
	driver.Batch
	c *lossyConn
}

func (b lossyBatch) Send() error {
	if err := b.Batch.Send(); err != nil || b.c.lose == 0 {
		return err
	}
	b.c.lose--
	return io.ErrUnexpectedEOF
}

// TestRowsThatAreSeenLateAreDelivered: a row becomes visible after a look that
// had passed its instant; another one came while nobody could look.
func TestRowsThatAreSeenLateAreDelivered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hook := newReceiver(t, nil)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard(hook.URL)}})
	r.step()
	for i, age := range []time.Duration{90 * time.Second, 6 * time.Minute} {
		r.clock.advance(-age)
		r.incident("ws_a", "rule_1", name("i", i), "firing")
		r.clock.advance(age)
		if i == 1 {
			r.clock.advance(5 * time.Minute) // since the last look
		}
		r.step()
	}
	if ids := hook.ids(); !slices.Equal(ids, []string{"i000/firing", "i001/firing"}) {
		t.Errorf("%q", ids)
	}
}

// TestOwnersShareAndHandOver: two processes with two partitions each, then the
// other way round, with receivers that fail at first.
func TestOwnersShareAndHandOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hook := newReceiver(t, nil)
	hook.setAnswer(http.StatusBadGateway)
	const workspaces = 16
	for i := range workspaces {
		ws := name("ws_", i)
		r.rule(testRule{workspace: ws, id: "rule_1", webhooks: []map[string]string{standard(hook.URL)}})
		r.incident(ws, "rule_1", ws, "firing")
	}
	owned := map[string][]int{"a": {0, 1}, "b": {2, 3}}
	a := r.notifier(func(c *Config) { c.Owned = func() []int { return owned["a"] } })
	b := r.notifier(func(c *Config) { c.Owned = func() []int { return owned["b"] } })
	both := func() {
		for range 8 { // four at a time to one host
			r.stepOf(a)
			r.stepOf(b)
		}
	}
	both()
	owned["a"], owned["b"] = owned["b"], owned["a"]
	both() // too soon to try again
	if n := len(hook.ids()); n != workspaces {
		t.Errorf("%d attempts for %d messages", n, workspaces)
	}
	hook.setAnswer(http.StatusOK)
	r.clock.advance(time.Minute)
	both()
	for i := range workspaces {
		r.want(name("ws_", i)+"/firing", "retrying", "delivered")
	}
	if len(a.open) != 0 || len(b.open) != 0 {
		t.Errorf("%d and %d are still open", len(a.open), len(b.open))
	}
}
