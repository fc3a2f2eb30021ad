package aggregator_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// The simulated month, by arithmetic: every quarter of an hour uses 0.4 credits
// on working days from 8 to 20 and 0.2 otherwise, 28.8 on a working day and
// 182.4 in a week, for eight weeks before the month and in it, and beside that
// there happens what the workspaces below say. Instants are since the month's
// first midnight, a Monday's. Nothing here knows the engine.

const (
	monthDay     = 24 * time.Hour
	monthDays    = 30
	monthHistory = -56 * monthDay
	monthQuarter = 15 * time.Minute
	// monthLook is when in its minute the world is looked at, so that what
	// happens in a minute has happened.
	monthLook = 30 * time.Second
	// An outage: nothing is counted between these.
	outageFrom, outageTo = 18*monthDay + 2*time.Hour, 18*monthDay + 4*time.Hour + 15*time.Minute
)

func at(day, hour, minute int) time.Duration {
	return time.Duration(day)*monthDay + time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
}

// steadyUse is what a workspace uses in the quarter that begins at an instant.
func steadyUse(from time.Duration) float64 {
	sinceMonday := (from - monthHistory) % (7 * monthDay)
	if hour := sinceMonday % monthDay / time.Hour; sinceMonday < 5*monthDay && 8 <= hour && hour < 20 {
		return 0.4
	}
	return 0.2
}

type monthEvent struct {
	at       time.Duration
	campaign string
	credits  float64
}

type monthGrant struct {
	id      string
	credits float64
	at      time.Duration
	expires time.Duration // 0: never
}

type monthState struct {
	at       time.Duration
	campaign string
	status   string
	quota    float64 // 0: none
	endsAt   time.Duration
}

// monthSpace is a workspace of the month.
type monthSpace struct {
	id, story string
	campaigns []string     // share what is steady evenly
	grants    []monthGrant // as they expire
	states    []monthState
	extra     []monthEvent
	events    []monthEvent // all of them, by instant
	lefts     map[time.Duration][]float64
}

func burst(campaign string, from time.Duration, quarters int, credits float64) (events []monthEvent) {
	for i := range quarters {
		events = append(events, monthEvent{from + time.Duration(i)*monthQuarter + 7*time.Minute, campaign, credits})
	}
	return events
}

func monthWorld() []*monthSpace {
	const history = 8 * 182.4 // used before the month
	spaces := []*monthSpace{{
		id: "steady", story: "nothing but the outage", campaigns: []string{"cmp"},
		grants: []monthGrant{{"g", 100_000, monthHistory, 0}},
	}, {
		id: "topup", story: "runs low twice; topped up on day 9 at 10:00 and day 24 at 12:00", campaigns: []string{"cmp"},
		grants: []monthGrant{{"g1", history + 300, monthHistory, 0}, {"g2", 400, at(9, 10, 0), 0}, {"g3", 1000, at(24, 12, 0), 0}},
	}, {
		id: "burst", story: "300 credits from 13:00 to 16:00 of day 9, and 12 at 9:00 of day 20; all expires on day 40", campaigns: []string{"cmp"},
		grants: []monthGrant{{"g", history + 2000, monthHistory, at(40, 0, 0)}},
		extra:  append(burst("cmp", at(9, 13, 0), 12, 25), burst("cmp", at(20, 9, 0), 1, 12)...),
	}, {
		id: "expiry", story: "much of a grant expires unused on day 15 at 12:00", campaigns: []string{"cmp"},
		grants: []monthGrant{{"g1", history + 1000, monthHistory, at(15, 12, 0)}, {"g2", 5000, monthHistory, 0}},
	}, {
		id: "quota", story: "a quota of 1500 for `sale`; 350 credits from 10:00 to 12:00 of day 4; paused from 12:00 of day 6 to 12:00 of day 12; a quota of 2500 from 12:00 of day 21", campaigns: []string{"sale", "rest"},
		grants: []monthGrant{{"g", 100_000, monthHistory, 0}},
		states: []monthState{
			{monthHistory, "sale", "ACTIVE", 1500, at(42, 0, 0)}, {at(6, 12, 0), "sale", "PAUSED", 1500, at(42, 0, 0)},
			{at(12, 12, 0), "sale", "ACTIVE", 1500, at(42, 0, 0)}, {at(21, 12, 0), "sale", "ACTIVE", 2500, at(42, 0, 0)},
		},
		extra: burst("sale", at(4, 10, 0), 8, 43.75),
	}, {
		id: "noise", story: "8 credits up and down around the threshold, every hour from 20:00 of day 10 for a day; topped up on day 13 at 9:00", campaigns: []string{"cmp"},
		grants: []monthGrant{{"g1", history + 400, monthHistory, 0}, {"g2", 1000, at(13, 9, 0), 0}},
	}}
	noise := spaces[len(spaces)-1]
	for i := range 24 {
		hour := at(10, 20+i, 0)
		noise.extra = append(noise.extra, monthEvent{hour + 9*time.Minute, "cmp", 8}, monthEvent{hour + 39*time.Minute, "cmp", -8})
	}
	for _, s := range spaces {
		s.events, s.lefts = slices.Clone(s.extra), make(map[time.Duration][]float64)
		for from := monthHistory; from < monthDays*monthDay; from += monthQuarter {
			for _, campaign := range s.campaigns {
				if s.stateOf(campaign, from).status != "PAUSED" {
					s.events = append(s.events, monthEvent{from + 7*time.Minute, campaign, steadyUse(from) / float64(len(s.campaigns))})
				}
			}
		}
		slices.SortStableFunc(s.events, func(a, b monthEvent) int { return cmp.Compare(a.at, b.at) })
	}
	return spaces
}

// monthSteps are the instants at which the world is looked at.
func monthSteps() []time.Duration {
	var steps []time.Duration
	every := func(from, to, step time.Duration) {
		for ; from <= to; from += step {
			steps = append(steps, from+monthLook)
		}
	}
	every(0, monthDays*monthDay, 4*time.Hour)
	for _, from := range []time.Duration{ // an hour and a half of quarters
		at(4, 9, 30), at(4, 11, 30), at(6, 11, 30), at(8, 11, 30), at(9, 9, 30), at(9, 12, 30), at(9, 15, 30),
		at(12, 11, 30), at(13, 8, 30), at(15, 11, 30), at(20, 8, 30), at(24, 11, 30),
	} {
		every(from, from+90*time.Minute, monthQuarter)
	}
	every(at(10, 19, 30), at(11, 21, 0), 30*time.Minute)
	// The outage: clocks go on, the watermark does not.
	steps = append(steps, outageFrom+monthLook, outageFrom+70*time.Second, outageFrom+2*time.Minute, outageFrom+time.Hour)
	every(outageTo, outageTo+15*time.Minute, 5*time.Minute)
	slices.Sort(steps)
	steps = slices.Compact(steps)
	return slices.DeleteFunc(steps, func(t time.Duration) bool { return t == outageFrom+time.Hour+monthLook })
}

// inOutage says that nothing is counted at a step: the last before it is
// counted.
func inOutage(step time.Duration) bool { return outageFrom+monthLook < step && step < outageTo }

func (s *monthSpace) stateOf(campaign string, instant time.Duration) (state monthState) {
	for _, c := range s.states {
		if c.campaign == campaign && c.at <= instant {
			state = c
		}
	}
	return state
}

// left is what each grant holds at an instant: what expires first is used
// first, and what has expired is gone.
func (s *monthSpace) left(instant time.Duration) []float64 {
	if left, known := s.lefts[instant]; known {
		return slices.Clone(left)
	}
	left := make([]float64, len(s.grants))
	for i, g := range s.grants {
		if g.at <= instant {
			left[i] = g.credits
		}
	}
	for _, e := range s.events {
		if e.at > instant {
			break
		}
		s.take(left, e.at, e.credits)
	}
	s.take(left, instant, 0)
	s.lefts[instant] = slices.Clone(left)
	return left
}

// take uses credits at an instant, of grants in the order in which they expire;
// in this world a top-up comes before the balance is 0, so that grants may be
// there from the beginning.
func (s *monthSpace) take(left []float64, instant time.Duration, credits float64) {
	for i := range s.grants {
		if s.grants[i].expires != 0 && s.grants[i].expires <= instant {
			left[i] = 0
			continue
		}
		used := min(credits, left[i])
		left[i] -= used
		credits -= used
	}
}

func expiryOrNever(g monthGrant) time.Duration {
	if g.expires == 0 {
		return 1 << 62
	}
	return g.expires
}

func sum(amounts []float64) (total float64) {
	for _, a := range amounts {
		total += a
	}
	return total
}

// used is what was used in a range, gross or net, of a campaign or all ("").
func (s *monthSpace) used(campaign string, from, to time.Duration, gross bool) (total float64) {
	for _, e := range s.events {
		if from <= e.at && e.at < to && (campaign == "" || e.campaign == campaign) && (!gross || e.credits > 0) {
			total += e.credits
		}
	}
	return total
}

// ahead calls each with what will be used in every quarter from an instant on,
// if nothing out of the ordinary happens.
func (s *monthSpace) ahead(campaign string, instant time.Duration, each func(from time.Duration, credits float64) bool) {
	share := 0.0
	for _, c := range s.campaigns {
		if (campaign == "" || c == campaign) && s.stateOf(c, instant).status != "PAUSED" {
			share += 1 / float64(len(s.campaigns))
		}
	}
	for from := instant.Truncate(monthQuarter); each(from, share*steadyUse(from)); from += monthQuarter {
	}
}

// monthRules are the rules of every workspace.
var monthRules = []struct {
	id        string
	kind      schemas.AlertKind
	params    string
	says      string
	lasts     time.Duration // until it fires
	forecasts bool
}{
	{"low", schemas.BalanceBelow, `{"credits":100}`, "100 credits or less are left", 0, false},
	{"share", schemas.BalanceBelow, `{"percent":30}`, "30 % or less of what was granted is left", 0, false},
	{"runway", schemas.RunwayBelow, `{"days":4}`, "the credits end within four days", 15 * time.Minute, true},
	{"unused", schemas.ExpiringUnused, `{"days":7,"credits":50}`, "50 credits or more will expire unused within a week", time.Hour, true},
	{"rate", schemas.BurnRate, `{"windows":[{"long":"6h","short":"30m","factor":4}]}`, "over 6 hours and over 30 minutes, four times what lasts until the expiry", 0, false},
	{"quota", schemas.QuotaUsed, `{"percent":80}`, "a campaign has used 80 % of its quota", 0, false},
	{"projected", schemas.QuotaProjected, `{"percent":100}`, "a campaign will have used its quota by its end", 15 * time.Minute, true},
	{"spike", schemas.BurnSpike, `{"factor":3,"credits":20}`, "20 credits or more within an hour, and three times what that hour of the week is wont to use", 5 * time.Minute, false},
	{schemas.FreshnessRuleID, schemas.Freshness, `{}`, "nothing was counted for a minute", 0, false},
}

// subjects are what a rule is about: a campaign, or the workspace ("").
func (s *monthSpace) subjects(rule int) (subjects []string) {
	if k := monthRules[rule].kind; k != schemas.QuotaUsed && k != schemas.QuotaProjected {
		return []string{""}
	}
	for _, c := range s.campaigns {
		if s.stateOf(c, 0).quota > 0 {
			subjects = append(subjects, c)
		}
	}
	return subjects
}

// says is what a rule says at an instant, if what is to come is factor times
// what it should be.
func (s *monthSpace) says(rule int, subject string, now time.Duration, factor float64) (met, cleared bool) {
	minute := now.Truncate(time.Minute)
	left := s.left(now)
	// Sums of floats are off by less than a micro-credit.
	below := func(value, threshold float64) (bool, bool) {
		value = math.Round(value*1e6) / 1e6
		return value <= threshold, value > 1.1*threshold
	}
	above := func(value, threshold float64) (bool, bool) {
		value = math.Round(value*1e6) / 1e6
		return value >= threshold, value < 0.9*threshold
	}
	switch monthRules[rule].kind {
	case schemas.BalanceBelow:
		threshold := 100.0
		if monthRules[rule].id == "share" {
			threshold = 0
			for _, g := range s.grants {
				if g.at <= now && (g.expires == 0 || g.expires > now) {
					threshold += 0.3 * g.credits
				}
			}
		}
		return below(sum(left), threshold)
	case schemas.RunwayBelow:
		runsOut := now
		s.ahead("", now, func(from time.Duration, credits float64) bool {
			runsOut = from
			s.take(left, from, factor*credits)
			return sum(left) > 0 && from < now+30*monthDay
		})
		return below(float64(runsOut-now), float64(4*monthDay))
	case schemas.ExpiringUnused:
		unused := 0.0
		for i, g := range s.grants {
			if g.expires > now && g.expires <= now+7*monthDay {
				s.ahead("", now, func(from time.Duration, credits float64) bool {
					if from >= g.expires {
						return false
					}
					s.take(left, from, factor*credits)
					return true
				})
				unused += left[i]
			}
		}
		return above(unused, 50)
	case schemas.BurnRate:
		lasts := time.Duration(1 << 62)
		for i, g := range s.grants {
			if left[i] > 0 {
				lasts = min(lasts, expiryOrNever(g)-now)
			}
		}
		if lasts > 1000*monthDay || lasts < 6*time.Hour {
			return false, true
		}
		times := func(window time.Duration) float64 {
			return s.used("", minute-window, minute, true) / (sum(left) * float64(window) / float64(lasts))
		}
		both := min(times(6*time.Hour), times(30*time.Minute))
		return both > 4, both <= 0.9*4
	case schemas.QuotaUsed:
		return above(s.used(subject, monthHistory, now, false), 0.8*s.stateOf(subject, now).quota)
	case schemas.QuotaProjected:
		state, total := s.stateOf(subject, now), s.used(subject, monthHistory, now, false)
		s.ahead(subject, now, func(from time.Duration, credits float64) bool {
			total += factor * credits
			return from < state.endsAt
		})
		return above(total, state.quota)
	case schemas.BurnSpike:
		// An hour is half of each of two, as far as anybody knows.
		usual := 4 * (steadyUse(minute-time.Hour) + steadyUse(minute)) / 2
		used := s.used("", minute-time.Hour, minute, true)
		return used > 3*usual && used >= 20, used <= 0.9*3*usual || used < 0.9*20
	}
	return inOutage(now) && now-outageFrom-monthLook >= time.Minute, !inOutage(now)
}

// monthIncident is one that is expected: the steps at which it fires and ends,
// -1 if it does not end.
type monthIncident struct {
	space            *monthSpace
	rule             int
	subject          string
	fires, ends      int
	earliest, latest [2]int // of both, as far as forecasts are
}

func (i *monthIncident) String() string {
	return fmt.Sprintf("%s %s %q", i.space.id, monthRules[i.rule].id, i.subject)
}

// happens are the incidents of a rule, by the words of what "for" and holding
// for five minutes mean.
func (s *monthSpace) happens(rule int, subject string, steps []time.Duration, factor float64) (incidents [][2]int) {
	const none = -1
	since, over, open := none, none, false
	for i, now := range steps {
		fresh := monthRules[rule].kind == schemas.Freshness
		if inOutage(now) && !fresh {
			continue // nothing is known
		}
		met, cleared := s.says(rule, subject, now, factor)
		if !open {
			if !met {
				since = none
				continue
			}
			if since == none {
				since = i
			}
			if now-steps[since] >= monthRules[rule].lasts {
				incidents, open, over = append(incidents, [2]int{i, none}), true, none
			}
			continue
		}
		switch {
		case !cleared:
			over = none
		case over == none:
			over = i
		}
		if over != none && now-steps[over] >= 5*time.Minute {
			incidents[len(incidents)-1][1], open, since = i, false, none
		}
	}
	return incidents
}

// monthTolerance is by how much what is forecast may be off.
const monthTolerance = 0.05

// monthExpected are all incidents of the month. An error says that the world is
// not clear enough to know.
func monthExpected(spaces []*monthSpace, steps []time.Duration) ([]*monthIncident, error) {
	var expected []*monthIncident
	for _, s := range spaces {
		for rule := range monthRules {
			for _, subject := range s.subjects(rule) {
				plain := s.happens(rule, subject, steps, 1)
				variants := [][][2]int{plain}
				if monthRules[rule].forecasts {
					variants = append(variants, s.happens(rule, subject, steps, 1-monthTolerance), s.happens(rule, subject, steps, 1+monthTolerance))
				}
				for n, both := range plain {
					i := &monthIncident{space: s, rule: rule, subject: subject, fires: both[0], ends: both[1], earliest: both, latest: both}
					for _, v := range variants {
						if len(v) != len(plain) {
							return nil, fmt.Errorf("%v: %d or %d incidents", i, len(plain), len(v))
						}
						for k := range 2 {
							i.earliest[k], i.latest[k] = min(i.earliest[k], v[n][k]), max(i.latest[k], v[n][k])
						}
					}
					expected = append(expected, i)
				}
			}
		}
	}
	return expected, nil
}
