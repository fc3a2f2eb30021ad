package main

import (
	"math/rand/v2"
	"sort"
	"time"

	"github.com/google/uuid"

	"github.com/drawdown/drawdown/schemas"
)

// weigh sums up the weights of the campaigns that are active.
func (s *simulator) weigh(workspace int, at time.Time) {
	s.cumulative = s.cumulative[:0]
	sum := 0.0
	for i := range s.world[workspace].Campaigns {
		c := &s.world[workspace].Campaigns[i]
		if !at.Before(c.From) && (c.Until.IsZero() || at.Before(c.Until)) {
			sum += c.Weight
		}
		s.cumulative = append(s.cumulative, sum)
	}
}

// draw makes one event in [from, from + span ms) for the campaigns weighed
// last. units = 0 is one unit.
func (s *simulator) draw(rng *rand.Rand, workspace int, from schemas.Millis, span int64, units float64) simEvent {
	w := &s.world[workspace]
	ev := simEvent{at: from + schemas.Millis(rng.Int64N(span)), workspace: int32(workspace), campaign: -1}
	attributed := rng.Float64() >= w.Unattributed
	which, what := rng.Float64(), rng.Uint32()
	active := len(s.cumulative) > 0 && s.cumulative[len(s.cumulative)-1] > 0
	ev.action = int16(what % uint32(len(s.actions)))
	if attributed && active {
		ev.campaign = int32(pick(s.cumulative, which))
		actions := w.Campaigns[ev.campaign].Actions
		ev.action = int16(actions[what%uint32(len(actions))])
	}
	ev.actor = int16(rng.IntN(simActors))
	ev.credits = amount(s.actions[ev.action], units, rng.Float64())
	if rng.Float64() < w.Refunds {
		ev.credits = -ev.credits
	}
	ev.id = eventID(ev.at, rng.Uint64(), rng.Uint64())
	return ev
}

// amount is what an action costs; u in [0, 1) decides how much of it there was.
func amount(action simAction, units, u float64) schemas.Credits {
	count := schemas.Credits(1)
	if units > 0 {
		count = 1 + schemas.Credits(2*units*u)
	}
	if !action.Metered {
		return count * action.Unit
	}
	return count*action.Unit/2 + schemas.Credits(float64(count*action.Unit)*u)
}

// eventID is a UUIDv7 (RFC 9562) of given randomness.
func eventID(at schemas.Millis, high, low uint64) uuid.UUID {
	var id uuid.UUID
	for i := range 6 {
		id[i] = byte(at >> (8 * (5 - i)))
	}
	for i := range 2 {
		id[6+i] = byte(high >> (8 * i))
	}
	for i := range 8 {
		id[8+i] = byte(low >> (8 * i))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// pick returns the index in cumulative weights at which the share u of their
// sum is reached.
func pick(cumulative []float64, u float64) int {
	at := u * cumulative[len(cumulative)-1]
	return min(sort.Search(len(cumulative), func(i int) bool { return cumulative[i] > at }), len(cumulative)-1)
}

// delay is how late a late event is: mostly minutes, sometimes hours, rarely
// days; always less than the accepted lateness.
func (s *simulator) delay() time.Duration {
	longest := 10 * time.Minute
	switch u := s.rng.Float64(); {
	case u > 0.9:
		longest = 10 * 24 * time.Hour
	case u > 0.6:
		longest = 6 * time.Hour
	}
	return time.Duration(s.rng.Int64N(int64(longest)))
}

// heldEvent is a late event of the history and the event time at which it is
// sent after all.
type heldEvent struct {
	event simEvent
	due   schemas.Millis
}

// lateEvents is a heap by due.
type lateEvents []heldEvent

func (l lateEvents) Len() int           { return len(l) }
func (l lateEvents) Less(i, j int) bool { return l[i].due < l[j].due }
func (l lateEvents) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *lateEvents) Push(x any)        { *l = append(*l, x.(heldEvent)) }
func (l *lateEvents) Pop() any {
	last := (*l)[len(*l)-1]
	*l = (*l)[:len(*l)-1]
	return last
}
