package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// testSimOptions are a history of two weeks.
func testSimOptions(events int) simOptions {
	until := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	return simOptions{
		Seed: 7, Prefix: "sim-", Source: "/simulate", ImportID: "test", Workspaces: 5, Campaigns: 6,
		Refunds: 0.05, Unattributed: 0.1, Late: 0.1, Duplicates: 0.2,
		From: until.AddDate(0, 0, -14), Until: until, Events: int64(events), Start: until,
	}
}

// history returns the values of a history and the totals of its maker.
func history(t testing.TB, o simOptions) ([]sentRecord, simTotals) {
	t.Helper()
	sim, err := newSimulator(o)
	if err != nil {
		t.Fatal(err)
	}
	var records []sentRecord
	for {
		record, ok := sim.Next()
		if !ok {
			return records, sim.totals()
		}
		sent := sentRecord{partition: schemas.Partition(record.Key, 4)}
		sent.Key, sent.Value, sent.Headers = record.Key, bytes.Clone(record.Value), record.Headers
		records = append(records, sent)
	}
}

func totalsByDay(totals simTotals) map[simDayTotal]simSum {
	sums := map[simDayTotal]simSum{}
	for _, day := range totals.Days {
		sum := day.simSum
		day.simSum = simSum{}
		sums[day] = sum
	}
	return sums
}

func TestHistoryIsTheSameForTheSameSeedAndCount(t *testing.T) {
	first, _ := history(t, testSimOptions(5000))
	second, _ := history(t, testSimOptions(5000))
	if !reflect.DeepEqual(first, second) {
		t.Error("two histories of one seed differ")
	}
	other := testSimOptions(5000)
	other.Seed++
	third, _ := history(t, other)
	if reflect.DeepEqual(first, third) {
		t.Error("histories of two seeds are the same")
	}
}

func TestHistoryHasTheTotalsItClaims(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := testSimOptions(rapid.IntRange(1, 3000).Draw(rt, "events"))
		o.Seed = rapid.Uint64().Draw(rt, "seed")
		o.Duplicates = rapid.Float64Range(0, 0.9).Draw(rt, "duplicates")
		o.Late = rapid.Float64Range(0, 1).Draw(rt, "late")
		o.Refunds = rapid.Float64Range(0, 1).Draw(rt, "refunds")
		o.Unattributed = rapid.Float64Range(0, 1).Draw(rt, "unattributed")
		records, totals := history(t, o)
		if totals.Events != o.Events || totals.Sent != int64(len(records)) || totals.Sent != totals.Events+totals.Duplicates {
			rt.Fatalf("%d events asked for; totals say %d events, %d sent, %d duplicates; %d came", o.Events, totals.Events, totals.Sent, totals.Duplicates, len(records))
		}
		if want := recount(t, records, 4); !reflect.DeepEqual(totalsByDay(totals), want) {
			rt.Fatalf("totals differ from a recount")
		}
		sum := simSum{}
		for _, workspace := range totals.Workspaces {
			sum.merge(workspace.simSum)
		}
		campaigns := simSum{}
		for _, campaign := range totals.Campaigns {
			campaigns.merge(campaign.simSum)
		}
		if sum != totals.simSum || campaigns != totals.simSum {
			rt.Fatalf("workspaces add up to %v, campaigns to %v, all to %v", sum, campaigns, totals.simSum)
		}
	})
}

// A history over another window has the same events where both are: running a
// backfill again on another day sends nothing that conflicts.
// TestBurstsAreHoursOfTenTimesAsMuch, of the share of hours that was asked for,
// and none without.
func TestBurstsAreHoursOfTenTimesAsMuch(t *testing.T) {
	o := testSimOptions(100_000)
	o.Workspaces, o.From = 1, o.Until.AddDate(0, 0, -8*7)
	calm, err := newSimulator(o)
	if err != nil {
		t.Fatal(err)
	}
	o.Bursts = 0.02
	bursty, err := newSimulator(o)
	if err != nil {
		t.Fatal(err)
	}
	bursts, hours := 0, 0
	for at := o.From; at.Before(o.Until); at = at.Add(time.Hour) {
		hours++
		switch usual, volume := calm.volume(0, at), bursty.volume(0, at); volume {
		case usual:
		case burstFactor * usual:
			bursts++
		default:
			t.Fatalf("%v of usually %v at %v", volume, usual, at)
		}
	}
	if share := float64(bursts) / float64(hours); share < 0.01 || share > 0.03 {
		t.Errorf("%d bursts in %d hours", bursts, hours)
	}
	if _, totals := history(t, o); totals.Events != 100_000 {
		t.Errorf("%d events", totals.Events)
	}
}

func TestHistoryOverAnotherWindowHasTheSameEvents(t *testing.T) {
	o := testSimOptions(0)
	o.Late, o.Duplicates = 0, 0
	o.World = generateWorld(testSimOptions(4000))
	first, _ := history(t, o)
	o.From, o.Until = o.From.AddDate(0, 0, 3), o.Until.Add(90*time.Minute)
	second, _ := history(t, o)
	inFirst := map[string]bool{}
	for _, record := range first {
		inFirst[string(record.Value)] = true
	}
	shared := 0
	decodeAll(t, schemas.ConsumptionTopic, second, 4, func(record *sentRecord, ev *schemas.Event) {
		if ev.Time >= schemas.MillisOf(o.Until.Add(-90*time.Minute)) {
			return
		}
		shared++
		if !inFirst[string(record.Value)] {
			t.Fatalf("%s is new", record.Value)
		}
	})
	if shared == 0 {
		t.Fatal("the windows share nothing")
	}
}

func TestLiveStreamsOfOneSeedShareNoIDs(t *testing.T) {
	seen := map[string]bool{}
	for run := range 2 {
		o := testSimOptions(0)
		o.Run, o.Duplicates = uint64(run), 0
		sim, err := newSimulator(o)
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			value := sim.Live(testNow).Value
			var event struct {
				ID string `json:"id"`
			}
			if err := json.Unmarshal(value, &event); err != nil {
				t.Fatal(err)
			}
			if seen[event.ID] {
				t.Fatalf("id %s is there twice", event.ID)
			}
			seen[event.ID] = true
		}
	}
}

func TestSimulateSendsWhatItsTotalsSay(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	file := filepath.Join(t.TempDir(), "totals.json")
	args := []string{"simulate", "--kafka-brokers", broker.Addr, "--backfill", "28d", "--events", "4000", "--workspaces", "6", "--totals", file}
	for run := range 2 { // the second adds nothing
		stdout, _, err := runTool(t.Context(), t, args...)
		if err != nil {
			t.Fatal(err)
		}
		mustContain(t, stdout, "4,000 distinct events", "sim-ws-001")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var totals struct {
			Events    int64
			Delivered bool
			Days      []struct {
				WorkspaceID string `json:"workspace_id"`
				CampaignID  string `json:"campaign_id"`
				Action, Day string
				Events      int64
				Credits     string
				Refunds     string
			}
		}
		if err := json.Unmarshal(text, &totals); err != nil {
			t.Fatal(err)
		}
		want := recount(t, readTopic(t, broker, broker.Topics.Consumption), 4)
		if totals.Events != 4000 || !totals.Delivered || len(totals.Days) != len(want) {
			t.Fatalf("run %d: totals say %d events in %d cells, delivered %v; %d cells came", run, totals.Events, len(totals.Days), totals.Delivered, len(want))
		}
		for _, day := range totals.Days {
			key := simDayTotal{WorkspaceID: day.WorkspaceID, CampaignID: day.CampaignID, Action: day.Action, Day: day.Day}
			if sum := want[key]; sum.Events != day.Events || sum.Credits.String() != day.Credits || sum.Refunds.String() != day.Refunds {
				t.Errorf("run %d: %+v, recounted %+v", run, day, sum)
			}
		}
	}
	events := map[string]bool{}
	decodeAll(t, schemas.LedgerTopic, readTopic(t, broker, broker.Topics.Ledger), 4, func(_ *sentRecord, ev *schemas.Event) { events[string(ev.ID)] = true })
	decodeAll(t, schemas.CampaignsTopic, readTopic(t, broker, broker.Topics.Campaigns), 4, func(_ *sentRecord, ev *schemas.Event) { events[string(ev.ID)] = true })
	if len(events) < 6*(2+1+12) {
		t.Errorf("%d distinct setup events, want two grants, a workspace and 12 campaigns at least for each of 6", len(events))
	}
}

func TestSimulateLiveStopsAtItsCount(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	stdout, _, err := runTool(t.Context(), t, "simulate", "--kafka-brokers", broker.Addr, "--events", "500", "--totals", "-")
	if err != nil {
		t.Fatal(err)
	}
	var totals struct{ Events, Sent int64 }
	if err := json.Unmarshal([]byte(stdout), &totals); err != nil {
		t.Fatal(err)
	}
	if n := len(readTopic(t, broker, broker.Topics.Consumption)); totals.Events != 500 || int64(n) != totals.Sent {
		t.Errorf("%d events and %d records, %d arrived", totals.Events, totals.Sent, n)
	}
}

func TestInterruptedSimulateReportsWhatItSent(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	ctx, interrupt := context.WithCancel(t.Context())
	var requests atomic.Int64
	broker.Cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		broker.Cluster.KeepControl()
		if requests.Add(1) == 12 {
			interrupt()
		}
		return nil, nil, false
	})
	stdout, _, err := runTool(ctx, t, "simulate", "--kafka-brokers", broker.Addr, "--rate", "5000", "--for", "1h", "--totals", "-")
	if err != nil {
		t.Fatal(err)
	}
	var totals struct {
		Events    int64
		Delivered bool
	}
	if err := json.Unmarshal([]byte(stdout), &totals); err != nil {
		t.Fatal(err)
	}
	arrived := int64(0)
	for _, sum := range recount(t, readTopic(t, broker, broker.Topics.Consumption), 4) {
		arrived += sum.Events
	}
	if totals.Events == 0 || !totals.Delivered || arrived != totals.Events {
		t.Errorf("totals say %d events, delivered %v; %d arrived", totals.Events, totals.Delivered, arrived)
	}
}

func TestSimulateRefusesImpossibleOptions(t *testing.T) {
	for _, args := range [][]string{
		{"--duplicates", "1"}, {"--late", "-0.1"}, {"--backfill", "xd"}, {"--workspaces", "0"}, {"--until", "tomorrow"}, {"--rate", "-1"},
	} {
		_, _, err := runTool(t.Context(), t, append([]string{"simulate"}, args...)...)
		var usage usageError
		if !errors.As(err, &usage) {
			t.Errorf("%v: %v, want a usage error", args, err)
		}
	}
	if _, _, err := runTool(t.Context(), t, "simulate", "--backfill", "500d"); err == nil {
		t.Error("a history that would be rejected as too late is accepted")
	} else {
		mustContain(t, err.Error(), "--events-ttl 0")
	}
}

// demoUsed adds up what a workspace of the demo uses.
func demoUsed(t *testing.T, world []simWorkspace, name string, day, from, until time.Time) float64 {
	t.Helper()
	for _, w := range world {
		if w.ID == name {
			used, err := demoUse(w, day, from, until)
			if err != nil {
				t.Fatal(err)
			}
			return used.Float()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

func TestDemoTellsItsStory(t *testing.T) {
	for weekday := range 7 { // the story holds whatever day it begins on
		day := time.Date(2026, 11, 16+weekday, 0, 0, 0, 0, time.UTC)
		world, err := demoWorld(day, day)
		if err != nil {
			t.Fatal(err)
		}
		acme := demoUsed(t, world, "demo-acme", day, day.AddDate(0, 0, -12), day)
		if left, needed := 900_000-acme, acme/12*18; left < 1.1*needed {
			t.Errorf("%s: Acme has %.0f credits left and needs %.0f until its plan expires", day.Weekday(), left, needed)
		}
		globex := demoUsed(t, world, "demo-globex", day, day.AddDate(0, 0, -24), day)
		week := demoUsed(t, world, "demo-globex", day, day.AddDate(0, 0, -7), day)
		plan := world[1].Ledger[2].Credits.Total().Float()
		if days := (plan - globex) / (week / 7); days < 2 || days > 3 {
			t.Errorf("%s: Globex runs out in %.1f days, want two to three", day.Weekday(), days)
		}
		initech := demoUsed(t, world, "demo-initech", day, day.AddDate(0, 0, -56), day)
		if initech < 480_000 {
			t.Errorf("%s: Initech used %.0f credits, which its plan covers", day.Weekday(), initech)
		}
	}
}

func TestDemoSeedsTheSameHistoryAgainAndFillsGaps(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	p, err := newProducer(t.Context(), testKafkaFlags(broker), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	first := seedDemo(t, p, dir, testNow)
	if first < 200_000 || first > 400_000 {
		t.Errorf("the demo has %d events, want about 300,000", first)
	}
	d, err := newDemo(dir, testNow)
	if err != nil {
		t.Fatal(err)
	}
	d.state.Live = []demoSpan{{From: testNow, Until: testNow.Add(time.Hour)}}
	if err := d.save(); err != nil {
		t.Fatal(err)
	}
	seedDemo(t, p, dir, testNow.Add(3*time.Hour))
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	byID := map[string]string{}
	gap := 0
	decodeAll(t, schemas.ConsumptionTopic, readTopic(t, broker, broker.Topics.Consumption), 4, func(record *sentRecord, ev *schemas.Event) {
		if known, ok := byID[string(ev.ID)]; ok && known != string(record.Value) {
			t.Fatalf("an id has two contents:\n%s\n%s", known, record.Value)
		}
		byID[string(ev.ID)] = string(record.Value)
		switch at := ev.Time.Time(); {
		case !at.Before(testNow) && at.Before(testNow.Add(time.Hour)):
			t.Fatalf("%s happened while the live stream ran", record.Value)
		case !at.Before(testNow):
			gap++
		}
		arrived := record.Record
		arrived.Timestamp = schemas.MillisOf(testNow.Add(3 * time.Hour))
		if rejection := schemas.DefaultLimits().Late(&arrived, ev); rejection != nil {
			t.Fatalf("%s: %v", record.Value, rejection)
		}
	})
	for topic, role := range map[string]schemas.Topic{broker.Topics.Ledger: schemas.LedgerTopic, broker.Topics.Campaigns: schemas.CampaignsTopic} {
		decodeAll(t, role, readTopic(t, broker, topic), 4, func(record *sentRecord, ev *schemas.Event) {
			arrived := record.Record
			arrived.Timestamp = schemas.MillisOf(testNow)
			if rejection := schemas.DefaultLimits().Late(&arrived, ev); rejection != nil {
				t.Errorf("%s: %v", record.Value, rejection)
			}
		})
	}
	if gap == 0 {
		t.Error("the hours in which the demo was off are empty")
	}
}

func seedDemo(t *testing.T, p *producer, dir string, now time.Time) int64 {
	t.Helper()
	d, err := newDemo(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := d.Seed(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

func TestDemoLiveEndsWithItsContext(t *testing.T) {
	broker := storetest.Kafka(t, storetest.KafkaOptions{})
	p, _ := testProducer(t, broker)
	dir := t.TempDir()
	d, err := newDemo(dir, testNow)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	// The clock runs a second per look, so that events are due at once.
	looks := 0
	clock := func() time.Time {
		looks++
		if looks == 40 {
			cancel()
		}
		return testNow.Add(time.Duration(looks) * time.Second)
	}
	if err := d.Live(ctx, p, clock); err != nil {
		t.Fatal(err)
	}
	if p.next.Load() == 0 {
		t.Error("nothing was sent")
	}
	again, err := newDemo(dir, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.state.Live) != 1 {
		t.Errorf("the state remembers %d live streams, want 1", len(again.state.Live))
	}
}

func BenchmarkSimulator(b *testing.B) {
	o := testSimOptions(0)
	sim, err := newSimulator(o)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		sim.Live(testNow)
	}
}
