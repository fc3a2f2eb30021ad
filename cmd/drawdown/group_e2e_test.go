package main_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
)

// simulated is what `drawdown simulate --totals` writes.
type simulated struct {
	Sent       int64
	Duplicates int64
	simulatedSum
	Delivered  bool
	Workspaces []struct {
		WorkspaceID string `json:"workspace_id"`
		simulatedSum
	}
	Campaigns []struct {
		WorkspaceID string `json:"workspace_id"`
		CampaignID  string `json:"campaign_id"`
		simulatedSum
	}
	Days []struct {
		WorkspaceID string `json:"workspace_id"`
		CampaignID  string `json:"campaign_id"`
		Action      string
		Day         string
		simulatedSum
	}
}

type simulatedSum struct {
	Events           int64
	Credits, Refunds amount
}

// compare compares every total of the simulation with the API's.
func (s *simulated) compare(t *testing.T, a *api) {
	t.Helper()
	began := time.Now()
	figures, wrong := 0, 0
	check := func(what, where string, got, want int64) {
		figures++
		if got == want {
			return
		}
		if wrong++; wrong <= 20 {
			t.Errorf("%s: %s is %d instead of %d", where, what, got, want)
		}
	}
	first, last := "9999", ""
	actions := map[string]bool{}
	cells := map[string]simulatedSum{}
	for _, day := range s.Days {
		first, last = min(first, day.Day), max(last, day.Day)
		actions[day.Action] = true
		cells[strings.Join([]string{day.WorkspaceID, day.CampaignID, day.Action, day.Day}, " ")] = day.simulatedSum
	}
	query := span(dateOf(t, first), dateOf(t, last).AddDate(0, 0, 1))
	campaigns := map[string]campaignUsage{}
	for _, want := range s.Workspaces {
		all, _ := a.campaigns(want.WorkspaceID, with(query, "limit", "5"))
		check("credits", want.WorkspaceID, int64(all.Total.Used), int64(want.Credits))
		check("number of events", want.WorkspaceID, all.Total.Events, want.Events)
		campaigns[want.WorkspaceID+" "] = all.Unattributed
		for _, item := range all.Items {
			campaigns[want.WorkspaceID+" "+item.CampaignID] = campaignUsage{Used: item.Used}
		}
		for action := range actions {
			usage := usageAnswer{}
			a.must("workspaces/"+want.WorkspaceID+"/usage", with(query, "bucket", "1d", "tz", "UTC", "group_by", "campaign", "top", "50", "action", action), &usage)
			for _, series := range usage.Series {
				for _, point := range series.Points {
					where := strings.Join([]string{want.WorkspaceID, series.Key, action, point.Start.Format(time.DateOnly)}, " ")
					cell := cells[where] // zero where the simulation has none
					delete(cells, where)
					check("credits", where, int64(point.Credits), int64(cell.Credits))
					check("refunds", where, int64(point.Refunds), int64(cell.Refunds))
					check("number of events", where, point.Events, cell.Events)
				}
			}
		}
	}
	for _, want := range s.Campaigns {
		check("credits", want.WorkspaceID+" "+want.CampaignID, int64(campaigns[want.WorkspaceID+" "+want.CampaignID].Used), int64(want.Credits))
	}
	check("of the simulation's cells are missing", "number", int64(len(cells)), 0)
	if wrong > 0 {
		t.Errorf("%d of %d figures are wrong", wrong, figures)
	}
	t.Logf("%d figures compared in %s: %d events", figures, time.Since(began).Round(time.Millisecond), s.Events)
}

func dateOf(t testing.TB, text string) time.Time {
	t.Helper()
	date, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t.Fatal(err)
	}
	return date
}

// churn starts and ends the members of a group, one every few seconds, until
// the load has ended; then it starts all of them.
func churn(t testing.TB, members []*member, load *program, most time.Duration) (events []string) {
	t.Helper()
	began := time.Now()
	for load.Running() {
		at := time.Since(began).Round(time.Millisecond)
		i := rand.IntN(len(members))
		m := members[i]
		switch {
		case !m.running():
			m.start()
			events = append(events, fmt.Sprintf("%s member %d joins", at, i))
		case rand.IntN(3) == 0:
			m.program.Kill()
			events = append(events, fmt.Sprintf("%s member %d is killed", at, i))
		default:
			m.awaitStarted()
			if code := m.program.Stop(); code != 0 {
				t.Errorf("member %d exited with %d after SIGTERM", i, code)
			}
			events = append(events, fmt.Sprintf("%s member %d leaves within %s", at, i, (time.Since(began)-at).Round(time.Millisecond)))
		}
		select {
		case <-load.Exited:
		case <-time.After(rand.N(most)):
		}
	}
	for _, m := range members {
		if !m.running() {
			m.start()
		}
	}
	return events
}

func TestConsumersThatComeAndGoCountEveryEventOnce(t *testing.T) {
	t.Parallel()
	events, rate := 2_000_000, 50_000
	if testing.Short() {
		events, rate = 300_000, 20_000
	}
	const partitions = 6
	broker := storetest.NewKafka(t, storetest.ProcessOptions{KafkaOptions: storetest.KafkaOptions{Partitions: partitions}, AutoRestart: true})
	p := newPipeline(t, &broker.Broker, partitions)
	members := []*member{p.newMember(), p.newMember(), p.newMember()}
	for _, m := range members {
		m.start()
	}
	totals := filepath.Join(p.dir, "totals.json")
	began := time.Now()
	load := start(t, append([]string{
		"simulate", "--events", strconv.Itoa(events), "--rate", strconv.Itoa(rate), "--duplicates", "0.05", "--late", "0.02", "--totals", totals,
	}, p.sender...)...)
	changes := churn(t, members, load, 4*time.Second)
	if code := load.Wait(); code != 0 {
		t.Fatalf("simulate exited with %d", code)
	}
	sent := time.Since(began)
	l := awaitDone(t, broker.Client(t), p.tables, broker.Topics.Consumption)
	t.Logf("sent in %s, counted %s after that: %+v; the group:\n%s", sent.Round(time.Millisecond),
		(time.Since(began) - sent).Round(time.Millisecond), l, strings.Join(changes, "\n"))
	var oracle simulated
	readJSON(t, totals, &oracle)
	if !oracle.Delivered || oracle.Events != int64(events) || oracle.Duplicates < int64(events/25) {
		t.Errorf("the simulation is not what was asked for: %d events, %d duplicates, delivered %v", oracle.Events, oracle.Duplicates, oracle.Delivered)
	}
	if want := (ledger{records: uint64(oracle.Sent), inserted: uint64(oracle.Events), duplicates: uint64(oracle.Duplicates)}); l != want {
		t.Errorf("the ledger says %+v instead of %+v", l, want)
	}
	oracle.compare(t, p.serve())
	for i, m := range members {
		if code := m.program.Stop(); code != 0 {
			t.Errorf("member %d exited with %d after SIGTERM", i, code)
		}
	}
}
