package main_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// atProxy is the listener of a broker that tells clients a proxy's address.
type atProxy struct {
	net.Listener
	proxy net.Addr
}

func (l atProxy) Addr() net.Addr { return l.proxy }

// proxiedKafka starts a broker that is reached through a proxy alone.
func proxiedKafka(t testing.TB) (*storetest.Broker, *storetest.Proxy) {
	t.Helper()
	target := storetest.FreeAddr(t)
	proxy := storetest.NewProxy(t, target)
	told, err := net.ResolveTCPAddr("tcp", proxy.Addr)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": "16777216", "log.retention.ms": "-1"}),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			listener, err := net.Listen(network, target)
			return atProxy{listener, told}, err
		}))
	if err != nil {
		t.Fatalf("cannot start a broker: %v", err)
	}
	t.Cleanup(cluster.Close)
	return &storetest.Broker{Addr: proxy.Addr, Topics: schemas.DefaultTopics(), Cluster: cluster}, proxy
}

// outages runs up on two stores behind proxies, takes one of them away before
// the start and twice under load, and compares every total.
func outages(t *testing.T, choose func(kafka, clickhouse *storetest.Proxy) *storetest.Proxy, system string) {
	t.Helper()
	const partitions = 4
	broker, kafkaProxy := proxiedKafka(t)
	p := newPipeline(t, broker, partitions)
	clickhouseProxy := storetest.NewProxy(t, p.access.Addr)
	proxy := choose(kafkaProxy, clickhouseProxy)
	s := newStack(t, p.sender...)
	s.flags = append(s.flags, p.store(clickhouseProxy.Addr)[2:]...) // but the data directory

	proxy.Refuse(true)
	s.launch()
	awaitUnready(t, s)
	storetest.Wait(t, readyWithin, "up says what it waits for", func() (bool, error) {
		return len(s.complaints()) > 0, nil
	})
	pause(2 * time.Second) // so that it tries some more
	if err := storetest.Probe(s.ops, "healthz"); err != nil {
		t.Errorf("while it waits for %s up is not alive: %v", system, err)
	}
	if said := s.complaints(); len(said) != 1 || !strings.Contains(said[0], proxy.Addr) {
		t.Errorf("without %s up does not say so in one line that names its address:\n%s", system, strings.Join(said, "\n"))
	}
	back := time.Now()
	proxy.Refuse(false)
	s.awaitReady()
	t.Logf("%s away at the start: ready %s after it was back; logged:\n%s", system, time.Since(back).Round(time.Millisecond), strings.Join(s.complaints(), "\n"))

	totals := filepath.Join(p.dir, "totals.json")
	load := start(t, append([]string{"simulate", "--for", "1h", "--rate", "10000", "--workspaces", "6", "--totals", totals}, p.sender...)...)
	counted := func(atLeast uint64) {
		t.Helper()
		storetest.Wait(t, settleWithin, "more events are counted", func() (bool, error) {
			return p.ledger().inserted >= atLeast, nil
		})
	}
	counted(10_000)
	for _, fault := range []struct {
		name       string
		begin, end func()
		logged     bool
	}{
		{"refuses connections", func() { proxy.Refuse(true); proxy.Cut() }, func() { proxy.Refuse(false) }, true},
		{"stalls and goes on", func() { proxy.Stall(true) }, func() { proxy.Stall(false) }, false},
		{"stalls and resets", func() { proxy.Stall(true) }, func() { proxy.Cut(); proxy.Stall(false) }, false},
	} {
		before := len(s.complaints())
		began := time.Now()
		fault.begin()
		awaitUnready(t, s)
		unready := time.Since(began)
		pause(4 * time.Second)
		said := s.complaints()[before:]
		seen := p.ledger()
		back := time.Now()
		fault.end()
		s.awaitReady()
		ready := time.Since(back)
		counted(seen.inserted + 10_000)
		t.Logf("%s %s: not ready after %s, ready %s after it was back, counting after %s; logged:\n%s", system, fault.name,
			unready.Round(time.Millisecond), ready.Round(time.Millisecond), time.Since(back).Round(time.Millisecond), strings.Join(said, "\n"))
		once := map[string]bool{}
		for _, line := range said {
			_, message, _ := strings.Cut(line, "msg=")
			message, _, _ = strings.Cut(message, " stage=")
			if once[message] {
				t.Errorf("while %s %s up logged more than once %s", system, fault.name, message)
			}
			once[message] = true
		}
		if fault.logged && len(once) == 0 {
			t.Errorf("while %s %s up logged nothing", system, fault.name)
		}
	}
	if code := load.Stop(); code != 0 {
		t.Errorf("simulate exited with %d", code)
	}
	l := awaitDone(t, broker.Client(t), p.tables, broker.Topics.Consumption)
	var oracle simulated
	readJSON(t, totals, &oracle)
	if !oracle.Delivered || l.inserted != uint64(oracle.Events) || l.rejected > 0 || l.records < uint64(oracle.Sent) {
		t.Errorf("%d events were sent (delivered: %v), the ledger says %+v", oracle.Events, oracle.Delivered, l)
	}
	oracle.compare(t, s.api)
	if code := s.up.Stop(); code != 0 {
		t.Errorf("after SIGTERM up exited with %d", code)
	}
}

// complaints are the warnings and errors that up has logged.
func (s *stack) complaints() []string {
	return append(s.up.Stderr.Lines("level=WARN"), s.up.Stderr.Lines("level=ERROR")...)
}

// awaitUnready waits until the ops port answers that up is not ready.
func awaitUnready(t testing.TB, s *stack) {
	t.Helper()
	storetest.Wait(t, readyWithin, "/readyz says no", func() (bool, error) {
		err := storetest.Probe(s.ops, "readyz")
		return err != nil && strings.Contains(err.Error(), "503"), nil
	})
}

func TestUpWaitsForClickHouseAtTheStartAndLater(t *testing.T) {
	t.Parallel()
	outages(t, func(_, clickhouse *storetest.Proxy) *storetest.Proxy { return clickhouse }, "ClickHouse")
}

func TestUpWaitsForKafkaAtTheStartAndLater(t *testing.T) {
	t.Parallel()
	outages(t, func(kafka, _ *storetest.Proxy) *storetest.Proxy { return kafka }, "Kafka")
}
