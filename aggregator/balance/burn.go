package balance

import (
	"cmp"
	"slices"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// Priorities of grants that no event granted.
const (
	adjustmentPriority = 100  // what a grant without priority has (DESIGN section 3)
	carryOverPriority  = 1000 // the last there is: refunds that have no grant to go to wait
)

// Burn returns the balance at an instant. The segments must be those of
// Segments(entries, at), with their net usage; else the error is ErrSegments.
// An entry that no decoder lets through is ErrEntry.
func Burn(entries []Entry, segments []Segment, at schemas.Millis) (*State, error) {
	l, err := run(entries, segments, at, false)
	if err != nil {
		return nil, err
	}
	return l.state, nil
}

// Explain is Burn with every movement of credits, in the order in which they
// happened: a few per entry, and one for each grant that a segment drained or
// refilled.
func Explain(entries []Entry, segments []Segment, at schemas.Millis) (*State, []Movement, error) {
	l, err := run(entries, segments, at, true)
	if err != nil {
		return nil, nil, err
	}
	return l.state, l.movements, nil
}

// ledger is one run over the entries and segments.
type ledger struct {
	state    *State
	accounts []*account          // that exist, granted first
	byID     map[string]*account // granted ones
	// Ranked, but only there once the rule makes them.
	adjustments map[*Entry]*account   // rule 10
	carryOvers  map[*Segment]*account // rule 8

	byRank  []*account
	holding rankSet // active, Remaining > 0: to drain
	lacking rankSet // active, Remaining < Credits: to refill

	// What the overdraft is for (rule 7).
	overdrawnByUsage, overdrawnByAdjustment schemas.Total

	// For the movement that is being made.
	now, until schemas.Millis
	cause      string
	explain    bool
	movements  []Movement

	done []Step // without movements
	ends []int  // of the movements of each
}

// step is something that the ledger is to do at an instant.
type step struct {
	at    schemas.Millis
	kind  StepKind
	entry *Entry
}

func run(entries []Entry, segments []Segment, at schemas.Millis, explain bool) (*ledger, error) {
	set, err := normalise(entries)
	if err != nil {
		return nil, err
	}
	cuts := cutsOf(set, at)
	if err := checkSegments(segments, cuts, at); err != nil {
		return nil, err
	}
	l := open(set, segments, at)
	l.explain = explain
	steps := stepsOf(set, at)
	if len(segments) > 0 && (len(cuts) == 0 || segments[0].From < cuts[0]) {
		l.burn(&segments[0])
		segments = segments[1:]
	}
	for _, cut := range cuts {
		for len(steps) > 0 && steps[0].at == cut {
			l.take(steps[0])
			steps = steps[1:]
		}
		if len(segments) > 0 && segments[0].From == cut {
			l.burn(&segments[0])
			segments = segments[1:]
		}
	}
	l.close()
	return l, nil
}

// stepsOf returns all steps up to at in the order of rule 4.
func stepsOf(set []*Entry, at schemas.Millis) []step {
	steps := make([]step, 0, 2*len(set))
	add := func(t schemas.Millis, kind StepKind, e *Entry) {
		if t != schemas.NoInstant && t <= at {
			steps = append(steps, step{at: t, kind: kind, entry: e})
		}
	}
	for _, e := range set {
		switch e.Type {
		case schemas.CreditsGranted:
			add(e.ExpiresAt, Expires, e)
			add(e.EffectiveAt, TakesEffect, e)
		case schemas.CreditsAdjusted:
			add(e.At, Adjusts, e)
		default:
			add(e.At, Voids, e)
		}
	}
	// Stable: the set is by (time, offset), and so stays each kind.
	slices.SortStableFunc(steps, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind))
	})
	return steps
}

// open ranks every grant that there is or may come to be, so that the order of
// draining is known before the first step.
func open(set []*Entry, segments []Segment, at schemas.Millis) *ledger {
	l := &ledger{
		state:       &State{At: at},
		byID:        make(map[string]*account, len(set)),
		adjustments: make(map[*Entry]*account),
		carryOvers:  make(map[*Segment]*account),
	}
	for _, e := range set {
		switch {
		case e.Type == schemas.CreditsGranted:
			a := newAccount(e, e.GrantID, FromGrant)
			a.Class, a.Priority = e.Class, e.Priority
			a.EffectiveAt, a.ExpiresAt = e.EffectiveAt, e.ExpiresAt
			l.byID[e.GrantID] = a
			l.accounts = append(l.accounts, a)
			l.byRank = append(l.byRank, a)
		case e.Type == schemas.CreditsAdjusted && e.Credits > 0:
			a := newAccount(e, "adjustment:"+e.EventID, FromAdjustment)
			a.Priority = adjustmentPriority
			l.adjustments[e] = a
			l.byRank = append(l.byRank, a)
		}
	}
	for i := range segments {
		if s := &segments[i]; s.Net.Sign() < 0 {
			a := &account{Grant: Grant{
				GrantID: carryOverID(s.From), Origin: FromRefund, Class: schemas.Promo,
				Priority: carryOverPriority, EffectiveAt: s.From, ExpiresAt: schemas.NoInstant,
			}}
			l.carryOvers[s] = a
			l.byRank = append(l.byRank, a)
		}
	}
	slices.SortFunc(l.byRank, drainOrder)
	for i, a := range l.byRank {
		a.rank = i
	}
	l.holding, l.lacking = newRankSet(len(l.byRank)), newRankSet(len(l.byRank))
	l.match(set)
	return l
}

func newAccount(e *Entry, id string, origin Origin) *account {
	credits := e.Credits.Total()
	return &account{Grant: Grant{
		GrantID: id, Origin: origin, EventID: e.EventID, Note: e.Note, Actor: e.Actor,
		Class: schemas.Promo, EffectiveAt: e.At, ExpiresAt: schemas.NoInstant,
		Status: Scheduled, Credits: credits, Remaining: credits,
	}}
}

// carryOverID names the carry-over of the segment that starts at from.
func carryOverID(from schemas.Millis) string {
	return "refund:" + time.UnixMilli(int64(from)).UTC().Format(time.RFC3339Nano)
}

// match finds the entries whose grant is not there (rule 11) and the grants
// that are cancelled (rule 13).
func (l *ledger) match(set []*Entry) {
	for _, e := range set {
		if e.Type == schemas.CreditsGranted || e.GrantID == "" {
			continue
		}
		a := l.byID[e.GrantID]
		if a == nil {
			l.state.Unmatched = append(l.state.Unmatched, *e)
		} else if e.Type == schemas.GrantVoided && e.At <= a.EffectiveAt {
			a.cancelled = true
		}
	}
}

// close makes the state out of the accounts.
func (l *ledger) close() {
	slices.SortFunc(l.accounts, func(a, b *account) int { return cmp.Compare(a.rank, b.rank) })
	l.state.Overdraft = l.overdraft()
	l.state.Grants = make([]Grant, len(l.accounts))
	for i, a := range l.accounts {
		l.state.Grants[i] = a.Grant
	}
	l.state.report()
}
