package alerts_test

import (
	"slices"
	"sort"
	"time"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

// The world of scripts and of the oracle of Replay: what was used, minute by
// minute, from worldStart on, and running sums of that.
var (
	worldStart = schemas.MillisOf(time.Date(2025, 9, 1, 0, 0, 0, 0, time.UTC))
	runFrom    = schemas.MillisOf(time.Date(2025, 10, 1, 0, 0, 0, 0, time.UTC))
	runTo      = runFrom + 30*day
)

const worldMinutes = 60 * 24 * 60

type world struct {
	name      string
	entries   []balance.Entry
	states    map[string][]alerts.CampaignState
	ids       []string // of campaigns, in order
	net       map[string]*[worldMinutes]int64
	gross     map[string]*[worldMinutes]int64 // by campaign; "*": all
	netSums   map[string]*[worldMinutes + 1]int64
	grossSums map[string]*[worldMinutes + 1]int64
}

func newWorld() *world {
	return &world{states: map[string][]alerts.CampaignState{}, net: map[string]*[worldMinutes]int64{}, gross: map[string]*[worldMinutes]int64{}}
}

// all is what the whole workspace is called; no campaign is.
const all = "*"

func (w *world) use(at schemas.Millis, campaign string, micro int64) {
	for _, of := range []string{campaign, all} {
		if w.net[of] == nil {
			w.net[of], w.gross[of] = new([worldMinutes]int64), new([worldMinutes]int64)
		}
		w.net[of][(at-worldStart)/minute] += micro
		w.gross[of][(at-worldStart)/minute] += max(micro, 0)
	}
}

// sum makes the running sums once all is said.
func (w *world) sum() {
	running := func(of *[worldMinutes]int64) *[worldMinutes + 1]int64 {
		var sums [worldMinutes + 1]int64
		for i, micro := range of {
			sums[i+1] = sums[i] + micro
		}
		return &sums
	}
	w.netSums, w.grossSums = map[string]*[worldMinutes + 1]int64{}, map[string]*[worldMinutes + 1]int64{}
	for id := range w.net {
		w.netSums[id], w.grossSums[id] = running(w.net[id]), running(w.gross[id])
	}
}

// within is what was used in [from, to); instants are whole minutes.
func within(sums *[worldMinutes + 1]int64, from, to schemas.Millis) int64 {
	if sums == nil {
		return 0
	}
	index := func(at schemas.Millis) schemas.Millis { return min(max((at-worldStart)/minute, 0), worldMinutes) }
	return sums[index(to)] - sums[index(from)]
}

// lastWeek is a forecast made at an instant: what was used in the week before,
// over and over. Before eight days of use there is none.
func (w *world) lastWeek(campaign string, made schemas.Millis) alerts.Outlook {
	if campaign == "" {
		campaign = all
	}
	sums := w.grossSums[campaign]
	if within(sums, 0, made-8*day) == 0 {
		return alerts.Outlook{}
	}
	return alerts.Outlook{Method: forecast.Seasonal, Usage: weekly{sums, made}}
}

// weekly is the week before an instant, over and over.
type weekly struct {
	sums *[worldMinutes + 1]int64
	made schemas.Millis
}

func (w weekly) Used(at schemas.Millis) schemas.Total {
	weeks, rest := int64((at-w.made)/(7*day)), (at-w.made)%(7*day)
	from := w.made - 7*day
	return schemas.TotalOf(weeks*within(w.sums, from, w.made) + within(w.sums, from, from+rest))
}

func (w weekly) Reaches(from schemas.Millis, credits schemas.Total) (schemas.Millis, bool) {
	least := w.Used(from).Add(credits)
	if w.Used(from+5000*day).Cmp(least) < 0 {
		return 0, false
	}
	return from + schemas.Millis(sort.Search(int(5000*day), func(i int) bool { return w.Used(from+schemas.Millis(i)).Cmp(least) >= 0 })), true
}

// figures are those at an instant, with forecasts made at another.
func (w *world) figures(t fataler, at, made schemas.Millis) *alerts.Figures {
	t.Helper()
	segments, err := balance.Segments(w.entries, at)
	if err != nil {
		t.Fatal(err)
	}
	for i := range segments {
		segments[i].Net = schemas.TotalOf(within(w.netSums[all], segments[i].From, segments[i].To))
	}
	state, err := balance.Burn(w.entries, segments, at)
	if err != nil {
		t.Fatal(err)
	}
	// What was issued later is known now, and was not foreseen.
	state.Grants = slices.DeleteFunc(state.Grants, func(g balance.Grant) bool {
		i := slices.IndexFunc(w.entries, func(e balance.Entry) bool { return e.EventID == g.EventID })
		return g.Status == balance.Scheduled && w.entries[i].At > at
	})
	f := &alerts.Figures{At: at, Name: w.name}
	f.SetBalance(state)
	outlook := w.lastWeek("", made)
	if err := f.Foresee(state, outlook); err != nil {
		t.Fatal(err)
	}
	f.Gross = func(window time.Duration) (schemas.Total, bool) {
		return schemas.TotalOf(within(w.grossSums[all], at-schemas.Millis(window.Milliseconds()), at)), true
	}
	f.Expected = func(from, to schemas.Millis) (float64, bool) {
		used := within(w.grossSums[all], from-7*day, to-7*day)
		if from < made {
			return float64(used) / schemas.MicrosPerCredit, w.lastWeek("", made-day).Known()
		}
		return float64(used) / schemas.MicrosPerCredit, outlook.Known()
	}
	for _, id := range w.ids {
		var now *alerts.CampaignState
		for i := range w.states[id] {
			if s := &w.states[id][i]; s.At <= at {
				now = s
			}
		}
		if now == nil {
			continue
		}
		c := alerts.Campaign{
			ID: id, Name: now.Name, Status: now.Status, Quota: now.Quota, HasQuota: now.HasQuota,
			Used: schemas.TotalOf(within(w.netSums[id], 0, at)), ProjectedAt: state.Period.To,
		}
		if now.EndsAt != schemas.NoInstant {
			c.ProjectedAt = now.EndsAt
		}
		outlook := w.lastWeek(id, made)
		switch {
		case now.Status != "ACTIVE" || c.ProjectedAt <= at:
			c.Projected, c.Method = c.Used.Float(), forecast.RunRate
		case outlook.Known():
			c.Projected = c.Used.Float() + outlook.Usage.Used(c.ProjectedAt).Sub(outlook.Usage.Used(at)).Float()
			c.Method = outlook.Method
		}
		f.Campaigns = append(f.Campaigns, c)
	}
	return f
}

const quarter = 15 * minute

// timeline is the same for Replay, if all of the ledger is at full quarters of
// an hour.
func (w *world) timeline(t fataler, from schemas.Millis) *alerts.Timeline {
	t.Helper()
	cuts, err := balance.Cuts(w.entries, runTo+30*day)
	if err != nil {
		t.Fatal(err)
	}
	isCut := map[schemas.Millis]bool{}
	for _, cut := range cuts {
		isCut[cut] = true
	}
	tl := &alerts.Timeline{Name: w.name, Entries: w.entries, Forecast: w.lastWeek}
	bucket := alerts.Bucket{From: worldStart}
	for at := worldStart; at < worldStart+worldMinutes*minute; at += quarter {
		// Days before what windows reach, to see that any length will do.
		length := quarter
		if at < from-8*day {
			length = day
		}
		if at > bucket.From && (isCut[at] || (at-worldStart)%length == 0) {
			bucket.To = at
			tl.Usage = append(tl.Usage, bucket)
			bucket = alerts.Bucket{From: at}
		}
		bucket.Net = bucket.Net.Add(schemas.TotalOf(within(w.netSums[all], at, at+quarter)))
		bucket.Gross = bucket.Gross.Add(schemas.TotalOf(within(w.grossSums[all], at, at+quarter)))
	}
	for _, id := range w.ids {
		c := alerts.CampaignTimeline{ID: id, States: w.states[id]}
		for at := worldStart; at < worldStart+worldMinutes*minute; at += 15 * minute {
			net, gross := within(w.netSums[id], at, at+quarter), within(w.grossSums[id], at, at+quarter)
			if net != 0 || gross != 0 {
				c.Usage = append(c.Usage, alerts.Bucket{From: at, To: at + quarter, Net: schemas.TotalOf(net), Gross: schemas.TotalOf(gross)})
			}
		}
		tl.Campaigns = append(tl.Campaigns, c)
	}
	return tl
}
