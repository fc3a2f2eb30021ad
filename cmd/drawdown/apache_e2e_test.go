package main_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// TestOperatorsCommandsThroughApacheKafka: doctor, replay of rejections, and
// health with its probe, on the broker that they are for.
func TestOperatorsCommandsThroughApacheKafka(t *testing.T) {
	t.Parallel()
	const partitions, workspace = 4, "ws_apache"
	p := newPipeline(t, storetest.ApacheKafka(t, storetest.KafkaOptions{Partitions: partitions}), partitions)
	client, topics := p.broker.Client(t), p.broker.Topics
	consumer := p.newMember()
	consumer.start()
	consumer.awaitReady()
	send := func(value string) {
		t.Helper()
		produce(t, client, topics.Consumption, schemas.Partition([]byte(workspace), partitions), kafka.Record{Key: kafka.NewBytes([]byte(workspace)), Value: kafka.NewBytes([]byte(value))})
	}
	send(exampleEvent(workspace, "good", time.Now()))
	for i := range 3 {
		send(strings.Replace(exampleEvent(workspace, fmt.Sprint("bad-", i), time.Now()), `"credits":"1",`, "", 1))
	}
	if l := awaitDone(t, client, p.tables, topics.Consumption); l.inserted != 1 || l.rejected != 3 {
		t.Fatalf("the ledger says %+v", l)
	}

	examine := func(flags ...string) (int, []finding) {
		t.Helper()
		flags = append(append(flags, "--kafka-group", p.group()), p.sender...)
		return doctor(t, append(flags, p.store(p.access.Addr)...)...)
	}
	if code, found := examine("--ops", consumer.ops); code != 0 {
		t.Fatalf("of a healthy stack doctor says: %+v", found)
	}
	configure(t, client, topics.Consumption, "retention.ms", "86400000")
	short := finding{"retention", topics.Consumption, "24h0m0s: a longer outage loses events", "--add-config retention.ms=1209600000"}
	if code, found := examine(); code != 1 || short.in(found) < 0 || len(found) != 1 {
		t.Errorf("of a short retention doctor exits with %d and says %+v", code, found)
	}
	configure(t, client, topics.Consumption, "retention.ms", "-1")

	replay := append([]string{"rejections", "replay", "--code", "missing_field", "--edit", `{"data":{"credits":"2"}}`}, append(p.sender, p.store(p.access.Addr)...)...)
	api, ops := p.serveWith(append(p.sender, "--probe-every", "0", "--stuck-after", "3s")...)
	for _, again := range [][]string{nil, nil, {"--again"}} {
		mustRun(t, append(replay, again...)...)
		awaitDone(t, client, p.tables, topics.Consumption)
		awaitUsed(t, api, workspace, 7_000_000)
	}
	gotOn := func() (bool, error) { return storetest.Probe(ops, "healthz") == nil, nil }
	storetest.Wait(t, settleWithin, "counting gets on", gotOn)

	if code := consumer.program.Stop(); code != 0 {
		t.Errorf("the consumer exited with %d", code)
	}
	send(exampleEvent(workspace, "waits", time.Now()))
	storetest.Wait(t, settleWithin, "/healthz of serve says that nothing moves", func() (bool, error) {
		err := storetest.Probe(ops, "healthz")
		return err != nil && strings.Contains(err.Error(), "records waiting and has not moved"), nil
	})
	code, found := examine("--stuck-after", "1s")
	nobody := finding{"group", p.group(), "no consumer is in the group", "drawdown consume --kafka-group " + p.group()}
	still := finding{"progress", topics.Consumption, "1 records wait", "drawdown consume"}
	if code != 1 || nobody.in(found) < 0 || still.in(found) < 0 {
		t.Errorf("without a consumer doctor exits with %d and says %+v", code, found)
	}
	consumer.start()
	awaitUsed(t, api, workspace, 8_000_000)
	storetest.Wait(t, settleWithin, "counting gets on again", gotOn)

	_, ops = p.serveWith(append(p.sender, "--probe-every", "200ms")...)
	storetest.Wait(t, settleWithin, "two probes are answers", func() (bool, error) { return metric(t, ops, "drawdown_queryapi_probe_seconds_count") >= 2, nil })
}
