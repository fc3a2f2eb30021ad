package main_test

import (
	"context"
	"fmt"
	"hash/crc32"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// exampleEvent is the event of DESIGN section 3 for another workspace, id and
// time.
func exampleEvent(workspace, id string, at time.Time) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/campaign-runner","type":"credits.consumed","subject":%q,"time":%q,"data":{"workspace_id":%q,"campaign_id":"cmp_7","credits":"1","action":"lead_sourced","actor":"agent:alice","attributes":{"lead_id":"l_91"}}}`,
		id, workspace, at.UTC().Format("2006-01-02T15:04:05.000Z"), workspace)
}

// crc32Partition is where librdkafka, and with it kcat and most clients that
// are not Java, send a key unless they are told otherwise.
func crc32Partition(key string, partitions int) int {
	return int(crc32.ChecksumIEEE([]byte(key)) % uint32(partitions))
}

// produce sends records to a partition and returns the offset of the first.
func produce(t testing.TB, client *kafka.Client, topic string, partition int, records ...kafka.Record) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	response, err := client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
	})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		t.Fatalf("cannot produce to %s/%d: %v", topic, partition, err)
	}
	return response.BaseOffset
}

func TestTheExampleEventIsCountedOnce(t *testing.T) {
	// Not in parallel: it logs how long an event takes, 2 s at most on a machine
	// that is not loaded. It does not fail for that.
	s := startStack(t)
	client, tables := s.client(), s.tables()
	partitions := schemas.EmbeddedPartitions
	elsewhere := "ws_0" // a workspace that crc32 sends to another partition than murmur2
	for i := 1; crc32Partition(elsewhere, partitions) == schemas.Partition([]byte(elsewhere), partitions); i++ {
		elsewhere = fmt.Sprintf("ws_%d", i)
	}
	const events = 10
	rerouted := uint64(0)
	for _, workspace := range []string{"ws_acme", elsewhere} {
		partition := crc32Partition(workspace, partitions)
		var latencies []time.Duration
		var last kafka.Record
		for i := range events {
			value := exampleEvent(workspace, fmt.Sprintf("0197c9d2-7c1e-7b44-9b0e-3f6f0d6f1a%02d", i), time.Now())
			last = kafka.Record{Key: kafka.NewBytes([]byte(workspace)), Value: kafka.NewBytes([]byte(value))}
			sent := time.Now()
			produce(t, client, consumption, partition, last)
			awaitUsed(t, s.api, workspace, amount(i+1)*1_000_000)
			latencies = append(latencies, time.Since(sent))
			if partition != schemas.Partition([]byte(workspace), partitions) {
				rerouted++
			}
		}
		slices.Sort(latencies)
		t.Logf("%s (crc32 partition %d, murmur2 partition %d): in balance and usage after %s (median), %s (slowest of %d)",
			workspace, partition, schemas.Partition([]byte(workspace), partitions),
			latencies[events/2].Round(time.Millisecond), latencies[events-1].Round(time.Millisecond), events)

		// However often it is sent again, and wherever to.
		value := exampleEvent(workspace, "again", time.Now())
		for i := range 5 * partitions {
			record := kafka.Record{Key: kafka.NewBytes([]byte(workspace)), Value: kafka.NewBytes([]byte(value))}
			to := i % partitions
			produce(t, client, consumption, to, record)
			if to != schemas.Partition([]byte(workspace), partitions) {
				rerouted++
			}
		}
		awaitUsed(t, s.api, workspace, (events+1)*1_000_000)
	}
	sent := uint64(2 * (events + 5*partitions))
	l := awaitDone(t, client, tables, consumption)
	// A record in the wrong partition is taken in twice: where it was sent, and
	// where it belongs.
	want := ledger{records: sent + rerouted, inserted: 2 * (events + 1), duplicates: sent - 2*(events+1), rerouted: rerouted}
	if l != want {
		t.Errorf("the ledger says %+v instead of %+v", l, want)
	}
	for _, workspace := range []string{"ws_acme", elsewhere} {
		awaitUsed(t, s.api, workspace, (events+1)*1_000_000)
		usage := usageAnswer{}
		s.api.must("workspaces/"+workspace+"/usage", with(lastDay(), "group_by", "campaign"), &usage)
		if len(usage.Series) != 1 || usage.Series[0].Key != "cmp_7" {
			t.Errorf("%s: usage by campaign is %+v", workspace, usage)
		}
	}
	if warned := s.up.Stderr.Lines("level=ERROR"); len(warned) > 0 {
		t.Errorf("up logged errors:\n%s", strings.Join(warned, "\n"))
	}
}

func TestWhatKcatSendsIsCounted(t *testing.T) {
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		t.Log("kcat is not installed: TestTheExampleEventIsCountedOnce sends what it would")
		return
	}
	t.Parallel()
	s := startStack(t)
	workspaces := []string{"ws_acme"}
	for i := range 20 {
		workspaces = append(workspaces, fmt.Sprintf("ws_%d", i))
	}
	var lines strings.Builder
	for _, workspace := range workspaces {
		for range 3 { // the same event three times
			fmt.Fprintf(&lines, "%s\t%s\n", workspace, exampleEvent(workspace, "kcat-1", time.Now().Truncate(time.Minute)))
		}
	}
	cmd := exec.CommandContext(t.Context(), kcat, "-P", "-b", s.broker, "-t", consumption, "-K", "\t")
	cmd.Stdin = strings.NewReader(lines.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kcat: %v\n%s", err, out)
	}
	for _, workspace := range workspaces {
		awaitUsed(t, s.api, workspace, 1_000_000)
	}
	l := awaitDone(t, s.client(), s.tables(), consumption)
	if l.inserted != uint64(len(workspaces)) || l.rejected != 0 || l.rerouted == 0 {
		t.Errorf("the ledger says %+v, %d events were sent", l, len(workspaces))
	}
	t.Logf("kcat sent %d records, %d of them to other partitions than theirs", 3*len(workspaces), l.rerouted)
}

// lastDay is the range from a day ago to in an hour.
func lastDay() url.Values {
	now := time.Now()
	return span(now.Add(-24*time.Hour), now.Add(time.Hour))
}

// awaitUsed waits until balance and usage of a workspace without grants are
// both this many micro-credits.
func awaitUsed(t testing.TB, a *api, workspace string, micro amount) {
	t.Helper()
	var balance balanceAnswer
	var usage usageAnswer
	reached := false
	defer func() {
		if !reached {
			t.Logf("of %s the last balance was %+v, the last usage %+v", workspace, balance, usage)
		}
	}()
	query := lastDay()
	storetest.Wait(t, settleWithin, fmt.Sprintf("%s has used %d micro-credits", workspace, micro), func() (bool, error) {
		balance, usage = balanceAnswer{}, usageAnswer{}
		err := a.get("workspaces/"+workspace+"/balance", nil, &balance)
		if isStatus(err, 404) {
			return false, nil // nothing of it is counted yet
		}
		if err == nil {
			err = a.get("workspaces/"+workspace+"/usage", query, &usage)
		}
		if usage.Total > micro || balance.Overdraft > micro {
			return false, fmt.Errorf("counted more than once: %+v, %+v", balance, usage)
		}
		return balance.Overdraft == micro && balance.Remaining == -micro && usage.Total == micro, err
	})
	reached = true
}
