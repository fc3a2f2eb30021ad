package main_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
)

// demoFigures are those of a demo workspace before a moment.
type demoFigures struct {
	used   amount
	events int64
	grants int
}

func readDemo(a *api, query url.Values) map[string]demoFigures {
	figures := map[string]demoFigures{}
	for _, workspace := range []string{"demo-acme", "demo-globex", "demo-initech"} {
		balance := balanceAnswer{}
		a.must("workspaces/"+workspace+"/balance", nil, &balance)
		all, _ := a.campaigns(workspace, query)
		figures[workspace] = demoFigures{used: all.Total.Used, events: all.Total.Events, grants: len(balance.Grants)}
	}
	return figures
}

func TestTheDemoIsSeededOnceAndGoesOn(t *testing.T) {
	t.Parallel()
	s := startStack(t, "--demo")
	storetest.Wait(t, settleWithin, "the demo is seeded", func() (bool, error) {
		return strings.Contains(s.up.Stdout.String(), "Demo:"), nil
	})
	seededAt := time.Now()
	seeded := seededAt.Sub(s.up.StartedAt)
	l := awaitDone(t, s.client(), s.tables(), consumption)
	t.Logf("seeded %s and counted %s after the start: %d events; %s", seeded.Round(time.Millisecond),
		time.Since(s.up.StartedAt).Round(time.Millisecond), l.inserted, strings.TrimSpace(s.up.Stdout.Lines("Demo:")[0]))
	if l.rejected > 0 || l.rerouted > 0 {
		t.Errorf("the ledger says %+v", l)
	}

	// Before the start is history; the live stream adds a few late events to it.
	started := s.up.StartedAt
	history := span(started.AddDate(0, 0, -70), started)
	before := readDemo(s.api, history)
	for workspace, figures := range before {
		if figures.events < 10_000 || figures.used <= 0 || figures.grants == 0 {
			t.Errorf("%s has the history %+v", workspace, figures)
		}
		usage := usageAnswer{}
		s.api.must("workspaces/"+workspace+"/usage", with(history, "bucket", "1d", "group_by", "campaign"), &usage)
		if len(usage.Series) < 3 || len(usage.Series[0].Points) < 50 {
			t.Errorf("%s has %d campaigns with %d days", workspace, len(usage.Series), len(usage.Series[0].Points))
		}
		// A late event may come between two answers, not between all of them.
		storetest.Wait(t, settleWithin, "usage and campaigns of "+workspace+" agree", func() (bool, error) {
			sum := usageAnswer{}
			s.api.must("workspaces/"+workspace+"/usage", with(history, "bucket", "1mo"), &sum)
			all, _ := s.api.campaigns(workspace, history)
			return sum.Total == all.Total.Used, nil
		})
		named, _ := s.api.campaigns(workspace, nil)
		for _, item := range named.Items {
			if item.Name == nil || item.Status == nil {
				t.Errorf("%s: campaign %s has no name or status", workspace, item.CampaignID)
			}
		}
	}
	awaitLive(t, s)

	s.up.Kill()
	s.start()
	storetest.Wait(t, settleWithin, "the demo is seeded again", func() (bool, error) {
		return strings.Contains(s.up.Stdout.String(), "Demo:"), nil
	})
	l = awaitDone(t, s.client(), s.tables(), consumption)
	t.Logf("ready %s after kill -9 and start; the ledger then says %+v", s.readyIn.Round(time.Millisecond), l)
	var counted, distinct, late uint64
	err := s.tables().QueryRow(t.Context(),
		`SELECT count(), uniqExact(workspace_id, event_id), countIf(toUnixTimestamp64Milli(time) < ? AND toUnixTimestamp64Milli(kafka_time) > ?) FROM events`,
		started.UnixMilli(), seededAt.UnixMilli()).
		Scan(&counted, &distinct, &late)
	if err != nil || counted != distinct || late > 500 {
		t.Errorf("%d events with %d ids are counted, %d of them came late: %v", counted, distinct, late, err)
	}
	for workspace, figures := range readDemo(s.api, history) {
		if more := figures.events - before[workspace].events; more < 0 || uint64(more) > late || figures.grants != before[workspace].grants {
			t.Errorf("%s: after a restart the history is %+v, before it was %+v, and %d events came late", workspace, figures, before[workspace], late)
		}
	}
	awaitLive(t, s)
}

// awaitLive waits until every demo workspace has used more since now.
func awaitLive(t *testing.T, s *stack) {
	t.Helper()
	since := time.Now()
	for workspace := range readDemo(s.api, lastDay()) {
		storetest.Wait(t, settleWithin, "the live stream of "+workspace+" is counted", func() (bool, error) {
			all, _ := s.api.campaigns(workspace, span(since, since.Add(time.Hour)))
			return all.Total.Events > 0, nil
		})
	}
	t.Logf("the live stream moved all workspaces within %s", time.Since(since).Round(time.Millisecond))
}
