package queryapi_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// past is a workspace and all that the oracle knows of it.
type past struct {
	now     time.Time
	entries []balance.Entry
	events  []named // by (time, id)
	plain   []event
	rawFrom time.Time
}

// named is an event with the id that it got.
type named struct {
	event
	id string
}

// millis is an instant of the ledger.
func millis(t time.Time) schemas.Millis { return schemas.Millis(t.UnixMilli()) }

// newPast fills a workspace with a random ledger and random events: refunds,
// whole milliseconds of them, events at ledger instants and before raw_from.
func newPast(h *harness, workspace string, entries, events int) *past {
	h.t.Helper()
	p := &past{now: h.now, entries: h.ledger(workspace, h.now, entries)}
	rawFrom, _ := schemas.DefaultEventsTTL().RawFrom(h.now)
	p.rawFrom = time.UnixMilli(int64(rawFrom)).UTC()
	random := rand.New(rand.NewPCG(5, 6))
	drawn := randomEvents(workspace, h.now, events)
	for i := range drawn {
		switch random.IntN(4) {
		case 0:
			drawn[i].at = drawn[i/2].at
		case 1:
			if e := p.entries[random.IntN(len(p.entries))]; e.At < millis(h.now) {
				drawn[i].at = time.UnixMilli(int64(e.At)).UTC().Add(time.Duration(random.IntN(3)-1) * time.Millisecond)
			}
		}
	}
	p.add(h, drawn...)
	return p
}

// add inserts events and remembers them with the ids they got.
func (p *past) add(h *harness, events ...event) {
	for i, e := range events {
		p.events = append(p.events, named{e, fmt.Sprintf("e%d", h.inserted+i+1)})
	}
	h.insert(events...)
	p.plain = append(p.plain, events...)
	slices.SortFunc(p.events, func(a, b named) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.id, b.id)) })
}

// balanceAfter burns down everything before an instant and what more is used
// at it.
func (p *past) balanceAfter(t testing.TB, at time.Time, more func(named) bool) string {
	t.Helper()
	// Usage at a ledger instant belongs to the segment that starts there.
	end := millis(at)
	if end%60_000 == 0 {
		end++
	}
	segments, err := balance.Segments(p.entries, end)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range p.events {
		last := len(segments) - 1
		for i, s := range segments {
			if e.at.Before(at) && s.From <= millis(e.at) && (millis(e.at) < s.To || i == last) || more(e) && i == last {
				segments[i].Net = segments[i].Net.Add(e.credits.Total())
			}
		}
	}
	state, err := balance.Burn(p.entries, segments, end)
	if err != nil {
		t.Fatal(err)
	}
	return state.Remaining.String()
}

// walk reads all pages.
func (h *harness) walk(workspace string, q url.Values, between func()) []queryapi.HistoryItem {
	h.t.Helper()
	q = cloneValues(q)
	var items []queryapi.HistoryItem
	for {
		var page queryapi.History
		h.get("/v1/workspaces/"+workspace+"/history", q, &page)
		items = append(items, page.Items...)
		if page.NextCursor == nil {
			return items
		}
		if len(page.Items) == 0 {
			h.t.Fatalf("%v: an empty page that is not the last", q)
		}
		q.Set("cursor", *page.NextCursor)
		if between != nil {
			between()
		}
	}
}

func cloneValues(q url.Values) url.Values {
	c := url.Values{}
	for name, values := range q {
		c[name] = slices.Clone(values)
	}
	return c
}

// expectation is a row of the oracle. A grouped one has no event and no step.
type expectation struct {
	event *named
	step  *balance.Step
}

// stepRow says how the history shows what the ledger did; "" for not at all.
func stepRow(s balance.Step) (kind, id string) {
	switch s.Kind {
	case balance.TakesEffect:
		return "grant", "grant:" + s.Entry.EventID
	case balance.Adjusts:
		return "adjustment", "adjustment:" + s.Entry.EventID
	case balance.Voids:
		return "void", "void:" + s.Entry.EventID
	case balance.Expires:
		if s.Change.Sign() != 0 {
			return "expiry", "expiry:" + s.Entry.GrantID
		}
	case balance.Uses:
	}
	return "", ""
}

// listing is what is asked for.
type listing struct {
	view, tz string
	zone     *time.Location
	from, to time.Time
	types    []string
	campaign *string
	limit    int
}

func (l listing) values() url.Values {
	q := url.Values{"view": {l.view}, "tz": {l.tz}, "limit": {fmt.Sprint(l.limit)}}
	if !l.from.IsZero() {
		q.Set("from", l.from.Format(time.RFC3339Nano))
	}
	if !l.to.IsZero() {
		q.Set("to", l.to.Format(time.RFC3339Nano))
	}
	if len(l.types) > 0 {
		q.Set("type", strings.Join(l.types, ","))
	}
	if l.campaign != nil {
		q.Set("campaign_id", *l.campaign)
	}
	return q
}

func (l listing) shows(kind string) bool {
	return (l.campaign == nil || kind == "consumption") && (len(l.types) == 0 || slices.Contains(l.types, kind))
}

func (l listing) inRange(at time.Time) bool {
	return !at.Before(l.from) && (l.to.IsZero() || at.Before(l.to))
}

func drawListing(random *rand.Rand, p *past) listing {
	l := listing{view: []string{"grouped", "events"}[random.IntN(2)], tz: zones[random.IntN(len(zones))], limit: []int{13, 60, 250, 1000}[random.IntN(4)]}
	l.zone, _ = time.LoadLocation(l.tz)
	instant := func() time.Time {
		at := p.events[random.IntN(len(p.events))].at.Add(time.Duration(random.IntN(3)-1) * time.Millisecond)
		if random.IntN(2) == 0 || at.Before(p.rawFrom) {
			at = at.Truncate(time.Minute)
		}
		return at
	}
	if random.IntN(2) == 0 {
		l.from = instant()
	}
	if random.IntN(2) == 0 {
		if l.to = instant(); !l.from.Before(l.to) {
			l.from = time.Time{}
		}
	}
	switch random.IntN(4) {
	case 0:
		campaign := []string{"", "cmp_1", "cmp_7", "cmp_none"}[random.IntN(4)]
		l.campaign = &campaign
	case 1:
		all := []string{"grant", "adjustment", "void", "expiry", "consumption"}
		l.types = all[random.IntN(3):][:1+random.IntN(3)]
	}
	return l
}

func TestHistoryEqualsBurnDownAtEveryRowOfEveryPage(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Millisecond)
	h := newHarness(t, now)
	p := newPast(h, "ws_a", 40, 700)
	h.insert(randomEvents("ws_b", now, 100)...) // must not be seen
	random := rand.New(rand.NewPCG(9, 9))
	for range 16 {
		l := drawListing(random, p)
		checkListing(t, h, p, l)
	}
	for _, view := range []string{"grouped", "events"} { // nothing left out
		checkListing(t, h, p, listing{view: view, tz: "UTC", zone: time.UTC, limit: 1000})
	}
}

// checkListing compares all pages of a listing with the oracle.
func checkListing(t *testing.T, h *harness, p *past, l listing) {
	t.Helper()
	items := h.walk("ws_a", l.values(), nil)
	border := l.border(p)
	segments, err := balance.Segments(p.entries, millis(p.now.Truncate(time.Minute))+1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range segments {
		to := segments[i].To
		if i == len(segments)-1 {
			to = millis(p.now.Add(time.Hour))
		}
		segments[i].Net, _, _ = naive(p.plain, time.UnixMilli(int64(segments[i].From)), time.UnixMilli(int64(to)), func(event) bool { return true })
	}
	steps, err := balance.Steps(p.entries, segments, millis(p.now.Truncate(time.Minute))+1)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]expectation{}
	for i, s := range steps {
		if kind, id := stepRow(s); kind != "" && l.shows(kind) && l.inRange(time.UnixMilli(int64(s.At))) {
			want[id] = expectation{step: &steps[i]}
		}
	}
	groups := map[string]schemas.Total{}
	for i, e := range p.events {
		switch {
		case !l.shows("consumption"), l.campaign != nil && e.campaign != *l.campaign, !l.inRange(e.at):
		case !e.at.Before(border):
			want["consumption:"+e.id] = expectation{event: &p.events[i]}
		default:
			key := l.group(p, e.at, e.campaign)
			groups[key] = groups[key].Add(e.credits.Total())
		}
	}
	if len(items) != len(want)+len(groups) {
		t.Errorf("%+v: %d rows, want %d and %d groups", l, len(items), len(want), len(groups))
	}
	seen := map[string]bool{}
	for i, item := range items {
		if seen[item.EntryID] {
			t.Errorf("%+v: %s is shown twice", l, item.EntryID)
		}
		seen[item.EntryID] = true
		if i > 0 && at(t, string(items[i-1].At)).Before(at(t, string(item.At))) {
			t.Errorf("%+v: %+v after %+v", l, item, items[i-1])
		}
		whole := len(l.types) == 0 && l.campaign == nil && i+1 < len(items)
		if whole && credits(t, item.BalanceAfter)-credits(t, item.Change) != credits(t, items[i+1].BalanceAfter) {
			t.Errorf("%+v: %+v does not follow from %+v", l, item, items[i+1])
		}
		checkItem(t, p, l, item, want, groups)
	}
}

// border is the first local midnight from the UTC day after raw_from on.
func (l listing) border(p *past) time.Time {
	if l.view == "grouped" {
		return p.now.AddDate(100, 0, 0)
	}
	at := p.rawFrom.Add(24*time.Hour - 1).Truncate(24 * time.Hour)
	for day := at.Add(-time.Millisecond).In(l.zone).Day(); at.In(l.zone).Day() == day; {
		at = at.Add(15 * time.Minute)
	}
	return at
}

// group names what is one row: a local day between two ledger instants, and a
// campaign.
func (l listing) group(p *past, at time.Time, campaign string) string {
	cuts, _ := balance.Cuts(p.entries, millis(at))
	return fmt.Sprint(len(cuts), " ", at.In(l.zone).Format(time.DateOnly), " ", campaign)
}

func checkItem(t *testing.T, p *past, l listing, item queryapi.HistoryItem, want map[string]expectation, groups map[string]schemas.Total) {
	t.Helper()
	when := at(t, string(item.At))
	w, known := want[item.EntryID]
	var after, used, change string
	switch {
	case w.event != nil:
		e := w.event
		after = p.balanceAfter(t, e.at, func(o named) bool { return o.at.Equal(e.at) && o.id <= e.id })
		used, change = e.credits.String(), (-e.credits).String()
		if !when.Equal(e.at) || *item.CampaignID != e.campaign || *item.EventID != e.id || item.Type != "consumption" || (item.Action == nil) != (e.action == "") {
			t.Errorf("%+v: %+v, want %+v", l, item, e)
		}
	case w.step != nil:
		s := w.step
		kind, _ := stepRow(*s)
		used, change = s.Credits.String(), s.Change.String()
		after = string(item.BalanceAfter) // by what follows from what
		if item.Type != kind || !when.Equal(time.UnixMilli(int64(s.At))) || (item.Unmoved == nil) != (s.Unmoved == "") {
			t.Errorf("%+v: %+v, want %+v", l, item, s)
		}
	case !known && item.From != nil:
		from, to := at(t, string(*item.From)), at(t, string(*item.To))
		net, _, count := naive(p.plain, from, to, func(e event) bool { return e.campaign == *item.CampaignID })
		after = p.balanceAfter(t, from, func(e named) bool {
			return !e.at.Before(from) && e.at.Before(to) && e.campaign <= *item.CampaignID
		})
		used, change = net.String(), net.Neg().String()
		key := l.group(p, from, *item.CampaignID)
		if l.group(p, to.Add(-time.Millisecond), *item.CampaignID) != key || groups[key] != net || *item.Events != count || !when.Equal(from) {
			t.Errorf("%+v: %+v, want %s of %d", l, item, net, count)
		}
	default:
		t.Errorf("%+v: %+v is not wanted", l, item)
	}
	if string(item.Credits) != used || string(item.Change) != change || string(item.BalanceAfter) != after {
		t.Errorf("%+v: %+v, want credits %s, change %s, balance %s", l, item, used, change, after)
	}
	if item.Sources != nil {
		sum := schemas.Credits(0)
		for _, source := range item.Sources {
			sum += credits(t, source.Change)
		}
		if sum != credits(t, item.Change) {
			t.Errorf("%+v: the sources add up to %s", item, sum)
		}
	}
}

func credits(t testing.TB, text queryapi.Decimal) schemas.Credits {
	t.Helper()
	c, err := schemas.ParseCredits(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
