package main_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/schemas"
)

// historyItem is a row of the history as far as it is looked at.
type historyItem struct {
	EntryID      string `json:"entry_id"`
	Type         string
	At           time.Time
	Credits      amount
	Change       amount
	BalanceAfter amount  `json:"balance_after"`
	CampaignID   *string `json:"campaign_id"`
	Action       *string
	From, To     *time.Time
	Events       *int64
}

// history reads all pages.
func (a *api) history(workspace string, query url.Values) (all []historyItem) {
	a.t.Helper()
	query = with(query, "limit", "1000")
	for {
		var page struct {
			Items      []historyItem
			NextCursor *string `json:"next_cursor"`
		}
		a.must("workspaces/"+workspace+"/history", query, &page)
		all = append(all, page.Items...)
		if page.NextCursor == nil {
			return all
		}
		query = with(query, "cursor", *page.NextCursor)
	}
}

// retailLedger are the countries that get a ledger, the largest first.
var retailLedger = []string{"united-kingdom", "germany", "france", "eire", "netherlands", "unspecified"}

// grantRetail gives each of these grants that overlap, expire, come late and
// are voided, and adjustments; it returns the instants at which the ledger of
// each does something.
func (r *retail) grantRetail(t *testing.T, s *stack) map[string][]time.Time {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 1))
	client, topic := s.client(), string(schemas.LedgerTopic)
	instants := map[string][]time.Time{}
	for _, workspace := range retailLedger {
		n := 0
		send := func(ev schemas.Event, at time.Time) {
			n++
			ev.ID, ev.WorkspaceID, ev.Source = fmt.Appendf(nil, "ledger-%d", n), []byte(workspace), []byte("/test")
			ev.Time = schemas.MillisOf(at)
			record := kafka.Record{Key: kafka.NewBytes(ev.WorkspaceID), Value: kafka.NewBytes(schemas.EncodeEvent(&ev)), Time: time.Now()}
			produce(t, client, topic, schemas.Partition(ev.WorkspaceID, 4), record)
			instants[workspace] = append(instants[workspace], at)
		}
		minute := func(from time.Time, days int) time.Time {
			at := from.Truncate(time.Minute).Add(time.Duration(random.IntN(days*24*60)) * time.Minute)
			if at.After(time.Now()) { // which would be rejected
				at = from
			}
			return at
		}
		share := schemas.Credits(max(r.countries[workspace].total.credits/12, 100) * schemas.MicrosPerCredit)
		for month := range 12 {
			from := minute(r.first.AddDate(0, month, 0), 10)
			to := from.AddDate(0, 0, 20+random.IntN(40))
			id := fmt.Appendf(nil, "grant-%d", month)
			grant := schemas.Event{
				Type: schemas.CreditsGranted, GrantID: id, Credits: share, Class: schemas.Class(month % 2), Priority: uint16(random.IntN(3) * 100),
				EffectiveAt: schemas.MillisOf(from), ExpiresAt: schemas.MillisOf(to),
			}
			send(grant, from)
			if to.Before(time.Now()) {
				instants[workspace] = append(instants[workspace], to)
			}
			switch month % 4 {
			case 1:
				send(schemas.Event{Type: schemas.CreditsAdjusted, GrantID: id, Credits: -share / 3}, minute(from, 30))
			case 2:
				send(schemas.Event{Type: schemas.GrantVoided, GrantID: id}, minute(from, 10))
			case 3:
				send(schemas.Event{Type: schemas.CreditsAdjusted, Credits: share / 7}, minute(from, 30))
			}
		}
	}
	awaitDone(t, client, s.tables(), topic)
	return instants
}

// compareHistory compares the history with balances, usage, campaigns, raw
// events and the file.
func (r *retail) compareHistory(t *testing.T, s *stack) {
	t.Helper()
	began := time.Now()
	instants := r.grantRetail(t, s)
	ranges := r.compareRanges(t, s, instants)
	rows := 0
	for _, c := range []struct{ workspace, view, zone string }{
		{"united-kingdom", "grouped", "Asia/Kolkata"}, {"germany", "events", "UTC"}, {"france", "grouped", "Europe/Berlin"},
	} {
		rows += r.compareWhole(t, s.api, c.workspace, c.view, c.zone)
	}
	days := r.compareClockChanges(t, s.api)
	t.Logf("history of %d countries compared in %s: %d ranges, %d rows, %d local days by the hour", len(retailLedger),
		time.Since(began).Round(time.Millisecond), ranges, rows, days)
}

// compareRanges is: balance(from) + granted + adjusted - net used - expired -
// voided in between = balance(to), and every way to say what was used says the
// same.
func (r *retail) compareRanges(t *testing.T, s *stack, instants map[string][]time.Time) int {
	t.Helper()
	random := rand.New(rand.NewPCG(2, 2))
	tables := s.tables()
	end := time.Now().Add(-time.Minute).Truncate(time.Minute)
	ranges, kinds := 200, map[string]int{}
	if testing.Short() {
		ranges = 50
	}
	for n := range ranges {
		workspace, view, zone := retailLedger[n%len(retailLedger)], []string{"grouped", "events"}[n/6%2], dstZones[n%len(dstZones)]
		longest := 400 * 24 * 60
		switch {
		case n%len(retailLedger) == 0: // the largest
			longest = 5 * 24 * 60
		case view == "events":
			longest = 60 * 24 * 60
		}
		from := r.first.Truncate(time.Minute).Add(time.Duration(random.IntN(int(end.Sub(r.first).Minutes()))) * time.Minute)
		if n%3 == 0 { // where the ledger does something
			from = instants[workspace][random.IntN(len(instants[workspace]))]
		}
		to := from.Add(time.Duration(1+random.IntN(longest)) * time.Minute)
		if n%5 == 0 && view == "grouped" && n%len(retailLedger) != 0 {
			to = instants[workspace][random.IntN(len(instants[workspace]))]
		}
		if to.Before(from) {
			from, to = to, from
		}
		if to.After(end) {
			to = end
		}
		if !from.Before(to) {
			continue
		}
		where := fmt.Sprintf("%s from %s to %s as %s in %s", workspace, from, to, view, zone)
		before, after := s.api.balanceAt(workspace, from), s.api.balanceAt(workspace, to)
		sum, used := amount(0), amount(0)
		// A balance has what the ledger does at its instant, and no usage of it.
		items := s.api.history(workspace, with(span(from, to), "view", view, "tz", zone))
		items = append(items, s.api.history(workspace, with(span(to, to.Add(time.Minute)), "view", view, "type", "grant,adjustment,void,expiry"))...)
		for _, item := range items {
			kinds[item.Type]++
			switch {
			case item.Type == "consumption":
				sum -= item.Credits
				used += item.Credits
			case item.At.After(from) && !item.At.After(to):
				sum += item.Change
			}
		}
		if before+sum != after {
			t.Errorf("%s: %d and what happened, %d, is not %d", where, before, sum, after)
		}
		if want := r.usedIn(workspace, from, to); used != want {
			t.Errorf("%s: the history has %d used instead of %d", where, used, want)
		}
		usage, campaigns := usageAnswer{}, campaignsAnswer{}
		s.api.must("workspaces/"+workspace+"/usage", with(span(from, to), "bucket", "1mo", "tz", zone), &usage)
		s.api.must("workspaces/"+workspace+"/campaigns", with(span(from, to), "limit", "1"), &campaigns)
		var raw int64
		if err := tables.QueryRow(t.Context(), "SELECT sum(credits_micro) FROM events WHERE workspace_id = ? AND time >= ? AND time < ?", workspace, from, to).Scan(&raw); err != nil {
			t.Fatal(err)
		}
		if usage.Total != used || campaigns.Total.Used != used || amount(raw) != used {
			t.Errorf("%s: history %d, usage %d, campaigns %d, raw %d", where, used, usage.Total, campaigns.Total.Used, raw)
		}
	}
	if len(kinds) != 5 {
		t.Errorf("the ranges have only %v", kinds)
	}
	return ranges
}

func (a *api) balanceAt(workspace string, at time.Time) amount {
	a.t.Helper()
	answer := balanceAnswer{}
	a.must("workspaces/"+workspace+"/balance", url.Values{"as_of": {at.UTC().Format(time.RFC3339)}}, &answer)
	return answer.Remaining
}

// usedIn adds up the file.
func (r *retail) usedIn(workspace string, from, to time.Time) (used amount) {
	for _, row := range r.countries[workspace].sold {
		if !row.at.Before(from) && row.at.Before(to) {
			used += amount(row.quantity * 1_000_000)
		}
	}
	return used
}

// compareWhole compares a country's whole history: each balance with the next
// older one, the newest with /balance, and each day and campaign, or each
// event, with the file.
func (r *retail) compareWhole(t *testing.T, a *api, workspace, view, name string) int {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	items := a.history(workspace, url.Values{"view": {view}, "tz": {name}})
	got, gotEvents := map[string]amount{}, []string{}
	for i, item := range items {
		older := amount(0)
		if i+1 < len(items) {
			older = items[i+1].BalanceAfter
		}
		if older+item.Change != item.BalanceAfter {
			t.Errorf("%s: %+v does not follow from %d", workspace, item, older)
		}
		switch {
		case item.From != nil:
			got[item.From.In(zone).Format(time.DateOnly)+" "+*item.CampaignID] += item.Credits
		case item.Type == "consumption":
			gotEvents = append(gotEvents, fmt.Sprint(item.At.UTC(), *item.CampaignID, *item.Action, int64(item.Credits)))
		}
	}
	answer := balanceAnswer{}
	a.must("workspaces/"+workspace+"/balance", nil, &answer)
	if len(items) == 0 || items[0].BalanceAfter != answer.Remaining {
		t.Errorf("%s: the newest row is %+v, the balance %d", workspace, items[:min(1, len(items))], answer.Remaining)
	}
	want, wantEvents := map[string]amount{}, []string{}
	for _, row := range r.countries[workspace].sold {
		want[row.at.In(zone).Format(time.DateOnly)+" "+row.campaign] += amount(row.quantity * 1_000_000)
		wantEvents = append(wantEvents, fmt.Sprint(row.at.UTC(), row.campaign, row.action, row.quantity*1_000_000))
	}
	if view == "events" {
		slices.Sort(gotEvents)
		slices.Sort(wantEvents)
		if !slices.Equal(gotEvents, wantEvents) {
			t.Errorf("%s: %d events in the history, %d in the file, or others", workspace, len(gotEvents), len(wantEvents))
		}
		return len(items)
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d days and campaigns in the history, %d in the file", workspace, len(got), len(want))
	}
	for key, credits := range want {
		if got[key] != credits {
			t.Errorf("%s: %s is %d instead of %d", workspace, key, got[key], credits)
		}
	}
	return len(items)
}

// dstZones have offsets of :00, :30 and :45, half an hour of summer time, and
// a day without midnight.
var dstZones = []string{"Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Havana", "Europe/Berlin"}

// compareClockChanges compares the hours, the day, the history and the file,
// for days on which a clock is changed, those around them, and some others.
func (r *retail) compareClockChanges(t *testing.T, a *api) (compared int) {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 3))
	const workspace = "united-kingdom"
	for _, name := range dstZones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		usage := usageAnswer{}
		a.must("workspaces/"+workspace+"/usage", with(span(r.first, r.last.Add(time.Millisecond)), "bucket", "1d", "tz", name), &usage)
		days := usage.Series[0].Points
		chosen := map[int]bool{random.IntN(len(days)): true, random.IntN(len(days)): true}
		changes := 0
		for i, day := range days[1 : len(days)-1] {
			if day.End.Sub(day.Start) != 24*time.Hour {
				changes++
				chosen[i], chosen[i+1], chosen[i+2] = true, true, true
			}
		}
		if !strings.HasPrefix(name, "Asia/") && changes != 2 {
			t.Errorf("%s has %d days that are not 24 hours long", name, changes)
		}
		byDate := map[string]amount{}
		for _, row := range r.countries[workspace].sold {
			byDate[row.at.In(zone).Format(time.DateOnly)] += amount(row.quantity * 1_000_000)
		}
		for i := range chosen {
			day := days[i]
			hours, inHistory := usageAnswer{}, amount(0)
			a.must("workspaces/"+workspace+"/usage", with(span(day.Start, day.End), "bucket", "1h", "tz", name), &hours)
			sum, start := amount(0), day.Start
			for _, hour := range hours.Series[0].Points {
				if !hour.Start.Equal(start) {
					t.Errorf("%s: the hour after %s starts at %s", name, start, hour.Start)
				}
				sum, start = sum+hour.Credits, hour.End
			}
			for _, item := range a.history(workspace, with(span(day.Start, day.End), "type", "consumption", "tz", name)) {
				inHistory += item.Credits
			}
			want := byDate[day.Start.In(zone).Format(time.DateOnly)]
			if sum != want || day.Credits != want || inHistory != want || !start.Equal(day.End) {
				t.Errorf("%s, %s: hours add up to %d, the day says %d, the history %d, the file %d", name, day.Start.In(zone), sum, day.Credits, inHistory, want)
			}
			compared++
		}
	}
	return compared
}
