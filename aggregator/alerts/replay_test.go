package alerts_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

// lived is what rules would have done, by rule, from figures that are each
// computed from nothing: the oracle of Replay.
func (w *world) lived(t fataler, rules []schemas.AlertRule, from, to, step schemas.Millis) map[string][]alerts.Incident {
	t.Helper()
	incidents := map[string][]alerts.Incident{}
	book, began := alerts.Book{}, map[string]schemas.Millis{}
	for at := from; at <= to; at += step {
		made := from + (at-from)/day*day
		for _, tr := range book.Advance(rules, w.figures(t, at, made)) {
			switch tr.State {
			case schemas.AlertPending:
				began[tr.IncidentID] = tr.At
			case schemas.AlertFiring:
				i := alerts.Incident{
					IncidentID: tr.IncidentID, Subject: tr.Subject, Sequence: tr.Sequence, BeganAt: tr.At, FiredAt: tr.At,
					ResolvedAt: schemas.NoInstant,
				}
				if at, pending := began[tr.IncidentID]; pending {
					i.BeganAt = at
				}
				incidents[tr.RuleID] = append(incidents[tr.RuleID], i)
			case schemas.AlertResolved:
				for i := range incidents[tr.RuleID] {
					if incidents[tr.RuleID][i].IncidentID == tr.IncidentID {
						incidents[tr.RuleID][i].ResolvedAt = tr.At
					}
				}
			}
		}
	}
	return incidents
}

func replay(t fataler, timeline *alerts.Timeline, rule schemas.AlertRule, step schemas.Millis) []alerts.Incident {
	t.Helper()
	incidents, err := alerts.Replay(rule, timeline, runFrom, runTo, step)
	if err != nil {
		t.Fatal(err)
	}
	for i := range incidents {
		if incidents[i].Message == "" || incidents[i].Detail == "" {
			t.Fatalf("%+v", incidents[i])
		}
		incidents[i].Message, incidents[i].Detail = "", ""
	}
	return incidents
}

// drawWorld is thirty days of anything that can happen to credits. It is drawn
// evenly, because rapid's own numbers are mostly so small that nothing fires.
func drawWorld(r *rand.Rand) *world {
	w := newWorld()
	instant := func() schemas.Millis { return worldStart + schemas.Millis(r.IntN(60*24*4))*quarter }
	amount := func(most int64) int64 { return (1 + r.Int64N(most*7)) * schemas.MicrosPerCredit / 7 }
	campaigns := []string{"", "a", "b"}
	for range 1 + r.IntN(10) {
		at, by := instant(), campaigns[r.IntN(3)]
		switch r.IntN(6) {
		case 0:
			w.use(at, by, -amount(400))
		case 1:
			w.use(at, by, amount(4000))
		case 2: // a burst
			for to := at + schemas.Millis(r.IntN(24))*hour; at < min(to, runTo); at += quarter {
				w.use(at, by, amount(100))
			}
		default:
			each, to := amount(4), instant()
			for ; at < to; at += quarter {
				w.use(at, by, each)
			}
		}
	}
	for i := range r.IntN(7) {
		e := balance.Entry{
			EventID: fmt.Sprint("e", i), Offset: uint64(i), At: instant(), GrantID: fmt.Sprint("g", r.IntN(4)),
			EffectiveAt: schemas.NoInstant, ExpiresAt: schemas.NoInstant,
		}
		switch r.IntN(6) {
		case 0:
			e.Type, e.Credits = schemas.CreditsAdjusted, schemas.Credits(amount(4000)-2000*schemas.MicrosPerCredit)
		case 1:
			e.Type = schemas.GrantVoided
		default:
			e.Type, e.Credits, e.Class, e.Priority = schemas.CreditsGranted, schemas.Credits(amount(20000)), schemas.Paid, 100
			e.EffectiveAt, e.GrantID = e.At, fmt.Sprint("g", i)
			if r.IntN(2) == 0 { // backdated, or to come
				e.EffectiveAt = instant()
			}
			if r.IntN(4) > 0 {
				e.ExpiresAt = e.EffectiveAt + schemas.Millis(1+r.IntN(40*24*4))*quarter
			}
		}
		w.entries = append(w.entries, e)
	}
	for _, id := range campaigns[1:] {
		w.ids = append(w.ids, id)
		for range r.IntN(5) {
			s := alerts.CampaignState{At: instant(), Status: []string{"ACTIVE", "ACTIVE", "PAUSED", "COMPLETED"}[r.IntN(4)], EndsAt: schemas.NoInstant}
			if r.IntN(5) > 0 {
				s.Quota, s.HasQuota = schemas.Credits(amount(10000)), true
			}
			if r.IntN(2) == 0 {
				s.EndsAt = instant()
			}
			w.states[id] = append(w.states[id], s)
		}
		slices.SortStableFunc(w.states[id], func(a, b alerts.CampaignState) int { return int(min(max(a.At-b.At, -1), 1)) })
	}
	w.sum()
	return w
}

// TestReplayHasWhatWasLivedThrough compares Replay, with its running sums and
// its burn-down run once per segment, with figures computed from nothing at
// each step, for every kind of rule.
func TestReplayHasWhatWasLivedThrough(t *testing.T) {
	t.Parallel()
	var rules []schemas.AlertRule
	for kind, params := range map[schemas.AlertKind][]string{
		schemas.BalanceBelow:   {`{"percent":30}`, `{"credits":"0"}`, `{"credits":"300","for":60,"hysteresis":50}`},
		schemas.RunwayBelow:    {`{"days":7}`, `{"days":2,"for":0}`},
		schemas.ExpiringUnused: {`{"days":14}`, `{"days":30,"credits":"100"}`},
		// None shorter than a bucket (rule 17).
		schemas.BurnRate: {
			`{"windows":[{"long":"1h","short":"15m","factor":5},{"long":"3d","short":"6h","factor":1}]}`,
			`{"windows":[{"long":"6h","short":"30m","factor":2}]}`,
		},
		schemas.QuotaUsed:      {`{"percent":90}`, `{"percent":20,"campaign_id":"b"}`},
		schemas.QuotaProjected: {`{}`, `{"percent":50,"for":0}`},
		schemas.BurnSpike:      {`{"factor":1.5,"credits":"1"}`, `{"factor":2,"window":"6h","credits":"5"}`},
		schemas.Freshness:      {`{}`},
	} {
		for i, p := range params {
			rule := ruleOf(t, kind, p)
			rule.RuleID = fmt.Sprint(kind, i)
			rules = append(rules, rule)
		}
	}
	fired := map[schemas.AlertKind]int{}
	for seed := range uint64(24) {
		w := drawWorld(rand.New(rand.NewPCG(seed, 1)))
		step := []schemas.Millis{3 * hour, 5*hour + 15*minute, 45 * minute}[min(seed%8, 2)]
		timeline := w.timeline(t, runFrom)
		lived := w.lived(t, rules, runFrom, runTo, step)
		for _, rule := range rules {
			got, want := replay(t, timeline, rule, step), lived[rule.RuleID]
			if !slices.Equal(got, want) {
				t.Errorf("seed %d, %s %s:\n%+v, not\n%+v", seed, rule.Kind, rule.Params, got, want)
			}
			fired[rule.Kind] += len(got)
		}
	}
	for _, kind := range schemas.AlertKinds {
		if fired[kind] < 5 && kind != schemas.Freshness {
			t.Errorf("of %s only %d fired", kind, fired[kind])
		}
	}
}

// told is what package forecast says of hours that are summed up from nothing.
func (w *world) told(q forecast.Quantile) func(string, schemas.Millis) alerts.Outlook {
	return func(campaign string, at schemas.Millis) alerts.Outlook {
		of, series := campaign, forecast.Series{At: at}
		if of == "" {
			of = all
		}
		for end := at; len(series.Hours) < 8*7*24; end -= hour {
			used := within(w.grossSums[of], end-hour, end)
			series.Hours = append(series.Hours, float64(used)/schemas.MicrosPerCredit)
		}
		slices.Reverse(series.Hours)
		for i, s := range w.states[campaign] {
			if s.At > at {
				break
			}
			if i == 0 {
				series.Since = s.At
				for m, used := range w.gross[campaign] {
					if used > 0 || w.net[campaign][m] != 0 {
						series.Since = min(series.Since, (worldStart + schemas.Millis(m)*minute))
						break
					}
				}
			}
			if series.EndsAt = s.EndsAt; s.EndsAt == schemas.NoInstant {
				series.EndsAt = 0
			}
			if s.Status != "ACTIVE" {
				span := forecast.Span{From: s.At}
				if i+1 < len(w.states[campaign]) && w.states[campaign][i+1].At <= at {
					span.To = w.states[campaign][i+1].At
				}
				series.Paused = append(series.Paused, span)
			}
		}
		f := forecast.Project(&series, at+56*day)
		instants := []schemas.Millis{}
		for next := at; next < at+7*day; next += hour {
			instants = append(instants, next)
		}
		for next := at + 7*day; next <= at+56*day; next += day {
			instants = append(instants, next)
		}
		curve := f.Curve.Sample(instants)
		return alerts.Outlook{Method: f.Method, Usage: curve.Along(q)}
	}
}

// TestReplayForetellsByItself: without a Forecast, package forecast makes them
// of the timeline, as of hours that are summed up from nothing.
func TestReplayForetellsByItself(t *testing.T) {
	t.Parallel()
	fired := map[schemas.AlertKind]int{}
	for seed := range uint64(9) {
		w := drawWorld(rand.New(rand.NewPCG(seed, 2)))
		for kind, params := range map[schemas.AlertKind]string{
			schemas.RunwayBelow: `{"days":7}`, schemas.ExpiringUnused: `{"days":14}`,
			schemas.QuotaProjected: `{"percent":50}`, schemas.BurnSpike: `{"factor":1.5,"credits":"1"}`,
		} {
			rule := ruleOf(t, kind, params)
			timeline := w.timeline(t, runFrom-30*day)
			timeline.Forecast = nil
			got := replay(t, timeline, rule, 6*hour)
			timeline.Forecast = w.told(map[bool]forecast.Quantile{true: forecast.Mean, false: forecast.P50}[kind == schemas.BurnSpike])
			if want := replay(t, timeline, rule, 6*hour); !slices.Equal(got, want) {
				t.Errorf("seed %d, %s: %+v, not %+v", seed, kind, got, want)
			}
			fired[kind] += len(got)
		}
	}
	for _, kind := range []schemas.AlertKind{schemas.RunwayBelow, schemas.ExpiringUnused, schemas.QuotaProjected, schemas.BurnSpike} {
		if fired[kind] == 0 {
			t.Errorf("nothing fired of %s", kind)
		}
	}
}

// TestAWindowShorterThanABucketIsItsPart: of what the last quarter of an hour
// used, five minutes are a third.
func TestAWindowShorterThanABucketIsItsPart(t *testing.T) {
	timeline := &alerts.Timeline{Entries: []balance.Entry{{
		Type: schemas.CreditsGranted, EventID: "e", GrantID: "g", At: runFrom, EffectiveAt: runFrom, ExpiresAt: runFrom + 30*day,
		Credits: 720 * schemas.MicrosPerCredit,
	}}}
	for at := runFrom; at < runFrom+10*day; at += quarter {
		used := int64(250_000)
		if at >= runFrom+9*day {
			used = 3_000_000
		}
		timeline.Usage = append(timeline.Usage, alerts.Bucket{From: at, To: at + quarter, Net: schemas.TotalOf(used), Gross: schemas.TotalOf(used)})
	}
	// What is left at the start of the burst lasts at 1 an hour; from then on
	// five minutes are 1 credit: 12 an hour.
	for params, want := range map[string]int{
		`{"windows":[{"long":"15m","short":"5m","factor":11}]}`: 1,
		`{"windows":[{"long":"15m","short":"5m","factor":13}]}`: 0,
	} {
		rule := ruleOf(t, schemas.BurnRate, params)
		incidents, err := alerts.Replay(rule, timeline, runFrom+day, runFrom+9*day+hour, quarter)
		if err != nil || len(incidents) != want {
			t.Errorf("%s: %+v, %v", params, incidents, err)
		}
	}
}

// TestARefundRefillsAsTheBurnDownHasIt: what it puts back into a grant that
// expires must last until then again.
func TestARefundRefillsAsTheBurnDownHasIt(t *testing.T) {
	w := newWorld()
	for i, expiresAt := range []schemas.Millis{runFrom + 20*day, schemas.NoInstant} {
		w.entries = append(w.entries, balance.Entry{
			Type: schemas.CreditsGranted, EventID: fmt.Sprint(i), GrantID: fmt.Sprint(i), Offset: uint64(i), At: runFrom, EffectiveAt: runFrom,
			ExpiresAt: expiresAt, Credits: 10 * schemas.MicrosPerCredit, Class: schemas.Paid, Priority: 100,
		})
	}
	w.entries = append(w.entries, balance.Entry{
		Type: schemas.CreditsAdjusted, EventID: "cut", Offset: 9, At: runFrom + 2*day,
		EffectiveAt: schemas.NoInstant, ExpiresAt: schemas.NoInstant,
	})
	w.use(runFrom, "", 10*schemas.MicrosPerCredit)
	w.use(runFrom+3*day, "", -5*schemas.MicrosPerCredit)
	w.use(runFrom+4*day, "", 1*schemas.MicrosPerCredit)
	w.sum()
	rule := ruleOf(t, schemas.BurnRate, `{"windows":[{"long":"1h","short":"30m","factor":1}]}`)
	got, want := replay(t, w.timeline(t, runFrom), rule, quarter), w.lived(t, []schemas.AlertRule{rule}, runFrom, runTo, quarter)["r"]
	if len(want) != 1 || !slices.Equal(got, want) {
		t.Errorf("%+v, not %+v", got, want)
	}
}

// TestLongBucketsAreSpreadOverTheirHours: a forecast of even use is the same
// whether its past comes by day or by hour.
func TestLongBucketsAreSpreadOverTheirHours(t *testing.T) {
	replayed := map[schemas.Millis][]alerts.Incident{}
	for _, length := range []schemas.Millis{hour, day} {
		timeline := &alerts.Timeline{Entries: []balance.Entry{{
			Type: schemas.CreditsGranted, EventID: "e", GrantID: "g", At: worldStart, EffectiveAt: worldStart, ExpiresAt: schemas.NoInstant,
			Credits: 1200 * schemas.MicrosPerCredit,
		}}}
		for at := worldStart; at < runTo; {
			to := at + length
			if at >= runFrom {
				to = at + quarter
			}
			used := schemas.TotalOf(int64((to - at) / quarter * schemas.MicrosPerCredit / 4))
			timeline.Usage = append(timeline.Usage, alerts.Bucket{From: at, To: to, Net: used, Gross: used})
			at = to
		}
		replayed[length] = replay(t, timeline, ruleOf(t, schemas.RunwayBelow, `{"days":7}`), hour)
	}
	if len(replayed[hour]) != 1 || !slices.Equal(replayed[hour], replayed[day]) {
		t.Errorf("%+v", replayed)
	}
}

func TestReplayOfTooManyStepsIsRefused(t *testing.T) {
	rule := ruleOf(t, schemas.BalanceBelow, `{"credits":1}`)
	for _, step := range []schemas.Millis{0, -1, 1} {
		if _, err := alerts.Replay(rule, &alerts.Timeline{}, runFrom, runTo, step); err == nil || !strings.Contains(err.Error(), "step") {
			t.Errorf("step %d: %v", step, err)
		}
	}
}
