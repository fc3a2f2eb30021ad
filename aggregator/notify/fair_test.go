package notify

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// TestSlowReceiversHoldUpOnlyThemselves: a workspace has slow receivers on more
// hosts than it may use at a time; another one's alerts arrive meanwhile.
func TestSlowReceiversHoldUpOnlyThemselves(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	release := make(chan struct{})
	var open, most atomic.Int32
	var hooks []map[string]string
	var slow []*testReceiver
	for range 4 {
		var here atomic.Int32
		s := newReceiver(t, func(_ got, w http.ResponseWriter) {
			if n := here.Add(1); n > maxBusyPerHost {
				t.Errorf("%d requests at a host", n)
			}
			defer here.Add(-1)
			n := open.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			defer open.Add(-1)
			<-release
			w.WriteHeader(http.StatusOK)
		})
		slow = append(slow, s)
		hooks = append(hooks, standard(s.URL))
	}
	fast := newReceiver(t, nil)
	r.rule(testRule{workspace: "ws_slow", id: "rule_1", webhooks: hooks})
	r.rule(testRule{workspace: "ws_fast", id: "rule_1", webhooks: []map[string]string{standard(fast.URL)}})
	const incidents = 10
	for i := range incidents {
		r.incident("ws_slow", "rule_1", name("s", i), "firing")
	}
	look := func() {
		if err := r.n.step(t.Context(), t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	look()
	storetest.Wait(t, time.Minute, "the slow ones are asked", func() (bool, error) { return open.Load() == maxBusyPerWorkspace, nil })
	for i := range incidents {
		r.incident("ws_fast", "rule_1", name("f", i), "firing")
	}
	storetest.Wait(t, time.Minute, "the fast one has all", func() (bool, error) { look(); return len(fast.ids()) == incidents, nil })
	if n := open.Load(); n != maxBusyPerWorkspace || most.Load() != maxBusyPerWorkspace {
		t.Errorf("%d slow requests, %d at most; a workspace has %d", n, most.Load(), maxBusyPerWorkspace)
	}
	close(release)
	storetest.Wait(t, time.Minute, "the slow ones have all", func() (bool, error) {
		look()
		n := 0
		for _, s := range slow {
			n += len(s.ids())
		}
		return n == incidents*len(slow), nil
	})
	r.n.workers.Wait()
}

// TestEveryWorkspaceHasItsTurn: many workspaces owe more than all there is room
// for, on slow hosts of their own, and have owed it for longer.
func TestEveryWorkspaceHasItsTurn(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var due []delivery
	add := func(workspace, host string, i int, attempt uint16, age time.Duration) {
		m := &message{incidentKey: incidentKey{workspace, name("i", i)}, state: stateFiring, recordedAt: now.Add(-age)}
		due = append(due, delivery{key: m.key(destination{"https://" + host + "/", "standard"}), msg: m, attempt: attempt})
	}
	for w := range 100 {
		for i := range 50 {
			add(name("slow_", w), name("host_", w*50+i), i, uint16(1+i%2), time.Hour)
		}
	}
	add("ws_fast", "fast", 0, 1, 0)
	add("ws_repeat", "other", 0, 2, 0)
	takeTurns(due)
	l, started := newLoad(), map[string]int{}
	for _, d := range due {
		if u := (underWay{d.host(), d.attempt > 1}); l.allows(d.key, u) {
			l.add(d.key, u)
			started[d.workspaceID]++
		}
	}
	if started["ws_fast"] != 1 || started["ws_repeat"] != 1 || l.total != maxBusy || l.repeats > maxBusyRepeats {
		t.Errorf("%d under way, %d of them repeats, %v", l.total, l.repeats, started)
	}
	for w := range 100 {
		if n := started[name("slow_", w)]; n < 1 || n > maxBusyPerWorkspace {
			t.Errorf("workspace %d has %d", w, n)
		}
	}
}

// TestManyIncidentsAreAllToldInOrder: one workspace owes many times what is
// kept at hand, all fired and most resolved before the first look, and one of
// its receivers is away; another workspace owes a little. Nothing is lost,
// nobody is told of an end before the beginning, and nobody waits for the first.
func TestManyIncidentsAreAllToldInOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.n.bounds = bounds{page: 7, open: 12, openOwn: 8}
	hook, away, other := newReceiver(t, nil), newReceiver(t, nil), newReceiver(t, nil)
	away.setAnswer(http.StatusInternalServerError)
	r.rule(testRule{workspace: "ws_many", id: "rule_1", webhooks: []map[string]string{standard(hook.URL)}})
	r.rule(testRule{workspace: "ws_many", id: "rule_0", webhooks: []map[string]string{standard(away.URL)}})
	r.rule(testRule{workspace: "ws_few", id: "rule_1", webhooks: []map[string]string{standard(other.URL)}})
	const incidents = 60
	var want []string
	for i := range incidents {
		r.incident("ws_many", "rule_0", name("a", i), "firing")
		r.incident("ws_many", "rule_1", name("i", i), "firing")
		want = append(want, name("i", i)+"/firing")
		r.clock.advance(time.Millisecond)
	}
	for i := range incidents - 5 {
		r.incident("ws_many", "rule_1", name("i", i), "resolved")
		want = append(want, name("i", i)+"/resolved")
	}
	r.incident("ws_few", "rule_1", "few", "firing")
	r.step()
	if got := other.ids(); !slices.Equal(got, []string{"few/firing"}) {
		t.Errorf("after one step the other workspace was told %q", got)
	}
	steps := 0
	for ; len(hook.ids()) < len(want) && steps < 500; steps++ {
		r.clock.advance(lookEvery)
		r.step()
		if most := max(len(r.n.open)-r.n.bounds.open, r.n.openOf["ws_many"]-r.n.bounds.openOwn); most > 0 {
			t.Fatalf("%d more at hand than there is room for", most)
		}
	}
	got := hook.ids()
	for i := range incidents {
		fired, resolved := slices.Index(got, name("i", i)+"/firing"), slices.Index(got, name("i", i)+"/resolved")
		if resolved >= 0 && resolved < fired {
			t.Errorf("%s: resolved is request %d, firing %d", name("i", i), resolved, fired)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("after %d steps %d messages of %d arrived: %q", steps, len(got), len(want), got)
	}
	away.setAnswer(http.StatusNoContent)
	toldAll := func() bool {
		told := make(map[string]bool)
		for _, row := range r.deliveries() {
			if row.destination == away.URL && row.outcome == "delivered" {
				told[row.webhookID] = true
			}
		}
		return len(told) == incidents
	}
	for steps = 0; !toldAll() && steps < 500; steps++ {
		r.clock.advance(time.Minute)
		r.step()
	}
	if !toldAll() {
		t.Errorf("the one that was away is not told of all %d", incidents)
	}
}

// TestLimitsCountIncidentsAndNotRows: as many as fill a page, of two rows each,
// and one more of a workspace that has the newest.
func TestLimitsCountIncidentsAndNotRows(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.n.own(r.clock.now())
	const incidents = 6_000
	err := r.conn.Exec(t.Context(), `INSERT INTO alert_incidents (workspace_id, incident_id, state, rule_id, rule_revision, kind, at, recorded_at, message, detail)
		SELECT 'ws_many', toString(number % ?), if(number < ?, 'firing', 'resolved'), 'rule_1', 1, 'quota_used', now64(3), now64(3), 'm', '{}' FROM numbers(?)`, incidents, incidents, 2*incidents)
	if err != nil {
		t.Fatal(err)
	}
	r.incident("ws_few", "rule_1", "few", "firing")
	found, err := r.n.readFresh(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if found[incidentKey{"ws_few", "few"}] == nil || len(found) != r.n.bounds.page {
		t.Errorf("%d incidents, %v of ws_few", len(found), found[incidentKey{"ws_few", "few"}])
	}
	seen := make(map[incidentKey]*incident)
	for after, steps := (incidentKey{}), 0; steps < 10; steps++ {
		page, err := r.n.readPage(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		for k, i := range page {
			seen[k] = i
			if k.workspaceID > after.workspaceID || k.workspaceID == after.workspaceID && k.incidentID > after.incidentID {
				after = k
			}
		}
	}
	if len(seen) != incidents+1 {
		t.Errorf("%d incidents in all pages, want %d", len(seen), incidents+1)
	}
	for k, i := range seen {
		if i.firing == nil || (i.resolved == nil) != (k.workspaceID == "ws_few") {
			t.Fatalf("%v was parted: %+v", k, i)
		}
	}
}

// TestOverloadedReceiverIsSpared: one 429 keeps the others waiting as well, at
// that receiver alone.
func TestOverloadedReceiverIsSpared(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hook := newReceiver(t, func(_ got, w http.ResponseWriter) {
		w.Header().Set("Retry-After", "90")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	other := newReceiver(t, nil)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard(hook.URL), standard(other.URL)}})
	r.incident("ws_a", "rule_1", "i0", "firing")
	r.settle()
	for i := range 6 {
		r.incident("ws_a", "rule_1", name("i", i), "firing")
	}
	r.clock.advance(80 * time.Second)
	r.settle()
	if got, all := hook.ids(), other.ids(); len(got) != 1 || len(all) != 7 {
		t.Errorf("while it wants rest it got %q, the other %q", got, all)
	}
	hook.setAnswer(http.StatusOK)
	r.clock.advance(11 * time.Second)
	for range 3 {
		r.settle()
	}
	if got := hook.ids(); len(got) != 8 {
		t.Errorf("then %q", got)
	}
}

// TestAnswerWithoutEndIsCutOff: a receiver that says yes and then goes on
// talking has the message, and holds nothing up.
func TestAnswerWithoutEndIsCutOff(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hook := newReceiver(t, func(_ got, w http.ResponseWriter) {
		for block := []byte(strings.Repeat("x", 64<<10)); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	r.rule(testRule{workspace: "ws_a", id: "rule_1", webhooks: []map[string]string{standard(hook.URL)}})
	r.incident("ws_a", "rule_1", "i1", "firing")
	r.settle()
	r.want("i1/firing", "delivered")
}

func TestTopicHasEachMessageOnce(t *testing.T) {
	t.Parallel()
	broker := storetest.Kafka(t, storetest.KafkaOptions{Partitions: testPartitions})
	withTopic := func(c *Config) { c.Kafka, c.Topic = broker.Client(t), broker.Topics.Alerts }
	r := newRig(t, withTopic)
	until := r.clock.now().Add(time.Hour)
	hook := newReceiver(t, nil)
	r.rule(testRule{workspace: "ws_a", id: "rule_1", silencedUntil: &until, webhooks: []map[string]string{standard(hook.URL)}})
	var want []string
	const incidents = 8
	for i := range incidents {
		detail := `{"remaining":"12.5"}`
		if i%2 == 0 {
			detail = []string{`{"remaining":"0"}`, `{"remaining":"-3.25"}`}[i/2%2]
			want = append(want, "credits.exhausted "+name("i", i)+"/exhausted")
		}
		// Default rules have no row.
		r.incidentAs(name("ws_", i%3), "default-exhausted", name("i", i), "firing", detail)
		want = append(want, "alert.firing "+name("i", i)+"/firing")
	}
	r.incident("ws_a", "rule_1", "i9", "firing")
	want = append(want, "alert.firing i9/firing")
	// The broker refuses at first.
	var refused atomic.Int32
	broker.Cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		if refused.Add(1) > 3 {
			return nil, nil, false
		}
		broker.Cluster.KeepControl()
		return refuseProduce(request), nil, true
	})
	r.settle()
	r.clock.advance(time.Minute)
	r.n = r.notifier(withTopic)
	r.settle()
	for i := range incidents {
		r.incidentAs(name("ws_", i%3), "default-exhausted", name("i", i), "resolved", `{"remaining":"0"}`)
		want = append(want, "alert.resolved "+name("i", i)+"/resolved")
	}
	r.settle()
	r.n = r.notifier(withTopic)
	r.settle()
	var got []string
	for partition := range testPartitions {
		reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker.Addr}, Topic: broker.Topics.Alerts, Partition: partition, MaxWait: 10 * time.Millisecond})
		lag, err := reader.ReadLag(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range lag {
			m, err := reader.ReadMessage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var e cloudEvent
			if err := json.Unmarshal(m.Value, &e); err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Type+" "+e.ID)
			if string(m.Key) != e.Data.WorkspaceID || e.Subject != e.Data.WorkspaceID || e.SpecVersion != "1.0" || e.Source == "" || e.Time == "" ||
				m.Partition != schemas.Partition(m.Key, testPartitions) || !strings.HasPrefix(string(m.Headers[0].Value), "application/cloudevents+json") {
				t.Errorf("%+v in partition %d with key %s", e, m.Partition, m.Key)
			}
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	}
	for i := range incidents {
		if id := name("i", i); slices.Index(got, "alert.firing "+id+"/firing") > slices.Index(got, "alert.resolved "+id+"/resolved") {
			t.Errorf("%s resolved before it fired", id)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if told := r.outcomes("i9/firing"); !slices.Contains(told, "silenced") || len(hook.ids()) != 0 {
		t.Errorf("a silenced rule: %q, and its webhook got %q", told, hook.ids())
	}
	if refused.Load() < 3 {
		t.Error("nothing was refused")
	}
}

// refuseProduce answers that there are too few replicas.
func refuseProduce(request kmsg.Request) kmsg.Response {
	in := request.(*kmsg.ProduceRequest)
	out := in.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range in.Topics {
		t := kmsg.NewProduceResponseTopic()
		t.Topic, t.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode = partition.Partition, kerr.NotEnoughReplicas.Code
			t.Partitions = append(t.Partitions, p)
		}
		out.Topics = append(out.Topics, t)
	}
	return out
}

// TestRunDeliversWhenWokenAndEndsCleanly: a request that is under way at the end
// is let finish, and recorded.
func TestRunDeliversWhenWokenAndEndsCleanly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := newReceiver(t, func(_ got, w http.ResponseWriter) {
		once.Do(func() { close(arrived); <-release })
		w.WriteHeader(http.StatusOK)
	})
	fast := newReceiver(t, nil)
	r.rule(testRule{workspace: "ws_a", id: "fast", webhooks: []map[string]string{standard(fast.URL)}})
	r.rule(testRule{workspace: "ws_a", id: "slow", webhooks: []map[string]string{standard(slow.URL)}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.n.Run(ctx) }()
	r.incident("ws_a", "fast", "i1", "firing")
	r.n.Wake()
	storetest.Wait(t, time.Minute, "the alert arrives", func() (bool, error) { return len(fast.ids()) == 1, nil })
	r.incident("ws_a", "slow", "i2", "firing")
	r.n.Wake()
	<-arrived
	cancel()
	close(release)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	r.want("i2/firing", "delivered")
	if err := r.n.Health(); err != nil {
		t.Error(err)
	}
}

func TestHealthSaysThatTablesCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.conn.Exec(t.Context(), "DROP TABLE alert_incidents"); err != nil {
		t.Fatal(err)
	}
	r.n.cfg.Log = slog.New(slog.DiscardHandler)
	r.n.healthyAt = r.clock.now()
	r.n.noteHealth(t.Context(), r.n.step(t.Context(), t.Context()))
	if err := r.n.Health(); err != nil {
		t.Errorf("at once: %v", err)
	}
	r.clock.advance(2 * time.Minute)
	if err := r.n.Health(); err == nil || !strings.Contains(err.Error(), "alert_incidents") {
		t.Errorf("after two minutes: %v", err)
	}
}
