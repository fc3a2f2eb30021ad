package balance

import (
	"cmp"
	"slices"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// Status is what a grant is at an instant.
type Status string

// The statuses; a grant that is exhausted is active too (rule 5).
const (
	Active    Status = "active"    // effective, holds credits
	Exhausted Status = "exhausted" // effective, holds none, may be refilled
	Scheduled Status = "scheduled" // not yet effective
	Expired   Status = "expired"
	Voided    Status = "voided"
)

// Origin is where a grant came from.
type Origin string

// The origins. Only what was granted is allocated (rule 15).
const (
	FromGrant      Origin = "granted"
	FromAdjustment Origin = "adjustment" // rule 10
	FromRefund     Origin = "refund"     // a carry-over, rule 8
)

// Grant is one grant, carry-over or adjustment that acts as a grant, at an
// instant. Of one that became effective,
// Remaining = Credits + Adjusted - Used - Expired - Voided.
type Grant struct {
	GrantID     string
	Origin      Origin
	EventID     string // the grant's or adjustment's; empty for a carry-over
	Class       schemas.Class
	Priority    uint16
	EffectiveAt schemas.Millis
	ExpiresAt   schemas.Millis // NoInstant: never
	Note, Actor string
	Status      Status

	Credits   schemas.Total // as granted, adjusted or carried over
	Adjusted  schemas.Total // by adjustments on it or drained by others, net
	Used      schemas.Total // by usage, less what refunds put back
	Expired   schemas.Total // removed at ExpiresAt
	Voided    schemas.Total // removed by a void; 0 if cancelled
	Remaining schemas.Total // what it holds; scheduled: what it will hold; else 0 unless active
}

// Active says whether the grant is part of the balance (rule 5).
func (g *Grant) Active() bool { return g.Status == Active || g.Status == Exhausted }

// Period is the range of time that a workspace's figures default to.
type Period struct {
	From, To schemas.Millis // [From, To)
}

// State is the answer at an instant.
type State struct {
	At        schemas.Millis
	Remaining schemas.Total // the balance: what active grants hold - Overdraft
	Overdraft schemas.Total // >= 0
	Allocated schemas.Total // credits of active grants that were granted
	Used      schemas.Total // used from these
	ExpiresAt schemas.Millis
	// DaysRemaining is at least 1, or 0 if ExpiresAt is NoInstant because no
	// active grant that holds credits expires.
	DaysRemaining int64
	Period        Period

	// What flowed until At: Remaining = GrantedTotal + AdjustedTotal - NetUsed
	// - ExpiredTotal - VoidedTotal (rule 18).
	GrantedTotal, AdjustedTotal, NetUsed, ExpiredTotal, VoidedTotal schemas.Total

	// Grants has every grant that is known, whatever its status: active and
	// exhausted ones first, then scheduled, expired, voided, each in the order
	// of draining.
	Grants []Grant
	// Unmatched has the adjustments and voids of grants that are not in the
	// ledger, by (time, offset), whatever their time (rule 11).
	Unmatched []Entry
}

// MovementKind says why credits moved.
type MovementKind string

// The kinds, and the sum of State that each is counted in (rule 18).
const (
	MovedGranted     MovementKind = "granted"      // GrantedTotal
	MovedAdjusted    MovementKind = "adjusted"     // AdjustedTotal
	MovedUsed        MovementKind = "used"         // NetUsed
	MovedRefunded    MovementKind = "refunded"     // NetUsed: overdraft cancelled, grant refilled
	MovedCarriedOver MovementKind = "carried_over" // NetUsed: the rest of a refund
	MovedRepaid      MovementKind = "repaid"       // none: from a grant to the overdraft
	MovedExpired     MovementKind = "expired"      // ExpiredTotal
	MovedVoided      MovementKind = "voided"       // VoidedTotal
)

// Movement is one change of what one grant holds, or of the overdraft. The sum
// of all Deltas is the balance; of a grant's, what it holds; of those without
// a grant, minus the overdraft.
type Movement struct {
	Kind    MovementKind
	At      schemas.Millis // the ledger instant, or where the segment starts
	To      schemas.Millis // where the segment ends; At for a ledger instant
	GrantID string         // empty: the overdraft
	EventID string         // the entry that caused it; empty for usage, refunds and expiries
	Delta   schemas.Total  // signed, never 0
}

// dayMillis is the length of a day in rule 16.
const dayMillis = 24 * 60 * 60 * 1000

// report fills in all of the state that is a summary of the grants.
func (s *State) report() {
	s.ExpiresAt = schemas.NoInstant
	var period *Grant
	held := schemas.Total{}
	for i := range s.Grants {
		g := &s.Grants[i]
		if g.Status == Active && g.Remaining.Sign() == 0 {
			g.Status = Exhausted
		}
		if !g.Active() {
			continue
		}
		held = held.Add(g.Remaining)
		if g.Origin == FromGrant {
			s.Allocated = s.Allocated.Add(g.Credits)
			s.Used = s.Used.Add(g.Used)
		}
		if g.ExpiresAt == schemas.NoInstant {
			continue
		}
		if g.Status == Active && (s.ExpiresAt == schemas.NoInstant || g.ExpiresAt < s.ExpiresAt) {
			s.ExpiresAt = g.ExpiresAt
		}
		// Grants come in the order of draining, so the first of equals stays.
		if g.Class == schemas.Paid && (period == nil || g.ExpiresAt < period.ExpiresAt) {
			period = g
		}
	}
	s.Remaining = held.Sub(s.Overdraft)
	if s.ExpiresAt != schemas.NoInstant {
		s.DaysRemaining = (int64(s.ExpiresAt-s.At) + dayMillis - 1) / dayMillis
	}
	s.Period = monthOf(s.At)
	if period != nil {
		s.Period = Period{From: period.EffectiveAt, To: period.ExpiresAt}
	}
	slices.SortStableFunc(s.Grants, func(a, b Grant) int {
		return cmp.Compare(a.Status.rank(), b.Status.rank())
	})
}

// rank is the place of a status in State.Grants.
func (s Status) rank() int {
	switch s {
	case Scheduled:
		return 1
	case Expired:
		return 2
	case Voided:
		return 3
	default:
		return 0
	}
}

// monthOf returns the calendar month in UTC around at.
func monthOf(at schemas.Millis) Period {
	t := time.UnixMilli(int64(at)).UTC()
	from := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	return Period{
		From: schemas.Millis(from.UnixMilli()),
		To:   schemas.Millis(from.AddDate(0, 1, 0).UnixMilli()),
	}
}
