package balance

import (
	"cmp"
	"math"
	"math/big"
	"slices"

	"github.com/drawdown/drawdown/schemas"
)

// Outlook is how usage goes on after an instant.
type Outlook interface {
	// Used is what will have been used since that instant by at; it never falls.
	Used(at schemas.Millis) schemas.Total
	// Reaches is the first instant at which so many credits, above 0, have been
	// used since from; false: it is not known.
	Reaches(from schemas.Millis, credits schemas.Total) (schemas.Millis, bool)
}

// Future is what becomes of a balance if usage goes on as an Outlook says.
type Future struct {
	// ExhaustedAt is the first instant after the state's at which the balance
	// is 0, known grants and expiries included; NoInstant: not before the
	// horizon.
	ExhaustedAt schemas.Millis
	// Unused is what is left of grants when they expire, by instant, up to the
	// horizon, soonest first. Grants that will have been used up are not in it.
	Unused []Unused
	// Changes are what known grants, expiries and the like do to the balance up
	// to the horizon, soonest first: the balance at an instant is the state's,
	// and the changes up to then, less what is used.
	Changes []Change
}

// Change is what happens to the balance at one instant.
type Change struct {
	At    schemas.Millis
	Delta schemas.Total
}

// Unused is what expires at one instant.
type Unused struct {
	At      schemas.Millis
	Credits schemas.Total // above 0
}

// Foresee continues state, which was made of the entries and the segments (see
// Burn), from its instant up to the horizon. A balance that is 0 already is
// exhausted at the state's instant.
func Foresee(entries []Entry, known []Segment, state *State, outlook Outlook, horizon schemas.Millis) (Future, error) {
	future := Future{ExhaustedAt: schemas.NoInstant}
	segments, err := Segments(entries, horizon)
	if err != nil {
		return future, err
	}
	for i := range segments {
		if i < len(known) {
			// The segments up to the state are the same but for the last one's end.
			segments[i].Net = known[i].Net
		}
		segments[i].Net = segments[i].Net.Add(usedBetween(outlook, max(segments[i].From, state.At), segments[i].To))
	}
	_, movements, err := Explain(entries, segments, horizon)
	if err != nil {
		return future, err
	}
	// What expiries, grants and the like change at their instants.
	changes := make(map[schemas.Millis]schemas.Total)
	for _, m := range movements {
		if m.To != m.At || m.At <= state.At {
			continue
		}
		changes[m.At] = changes[m.At].Add(m.Delta)
		if m.Kind == MovedExpired {
			if last := len(future.Unused) - 1; last >= 0 && future.Unused[last].At == m.At {
				future.Unused[last].Credits = future.Unused[last].Credits.Sub(m.Delta)
			} else {
				future.Unused = append(future.Unused, Unused{m.At, m.Delta.Neg()})
			}
		}
	}
	for at, delta := range changes {
		future.Changes = append(future.Changes, Change{at, delta})
	}
	slices.SortFunc(future.Changes, func(a, b Change) int { return cmp.Compare(a.At, b.At) })
	future.ExhaustedAt = exhaustion(segments, changes, state, outlook)
	return future, nil
}

// exhaustion walks along the balance.
func exhaustion(segments []Segment, changes map[schemas.Millis]schemas.Total, state *State, outlook Outlook) schemas.Millis {
	remaining := state.Remaining
	if remaining.Sign() <= 0 {
		return state.At
	}
	for _, segment := range segments {
		if segment.To <= state.At {
			continue
		}
		if segment.From > state.At {
			if remaining = remaining.Add(changes[segment.From]); remaining.Sign() <= 0 {
				return segment.From
			}
		}
		from := max(segment.From, state.At)
		used := usedBetween(outlook, from, segment.To)
		if remaining.Cmp(used) <= 0 {
			if at, known := outlook.Reaches(from, remaining); known {
				return at
			}
			return segment.To
		}
		remaining = remaining.Sub(used)
	}
	return schemas.NoInstant
}

func usedBetween(outlook Outlook, from, to schemas.Millis) schemas.Total {
	if from >= to {
		return schemas.Total{}
	}
	return outlook.Used(to).Sub(outlook.Used(from))
}

// Steady is usage that goes on at a constant rate: Gross, at least 0, in every
// Window from From on.
type Steady struct {
	From   schemas.Millis
	Gross  schemas.Total
	Window schemas.Millis // above 0
}

// Used implements Outlook. Parts of a micro-credit count once they are whole, so
// that sums over adjoining ranges are exact.
func (s Steady) Used(at schemas.Millis) schemas.Total {
	if at <= s.From {
		return schemas.Total{}
	}
	used := s.Gross.Big()
	used.Mul(used, bigMillis(at-s.From))
	used.Quo(used, bigMillis(s.Window))
	total, err := schemas.TotalFromBig(used)
	if err != nil {
		return beyondCounting
	}
	return total
}

// beyondCounting is more than anything that is granted, and half of what a
// Total holds.
var beyondCounting = schemas.Total{Hi: math.MaxInt64 / 2}

func bigMillis(m schemas.Millis) *big.Int { return big.NewInt(int64(m)) }

// farFuture is where no rate is believed any more: a thousand years.
const farFuture schemas.Millis = 1000 * 366 * dayMillis

// Reaches implements Outlook: the first whole millisecond.
func (s Steady) Reaches(from schemas.Millis, credits schemas.Total) (schemas.Millis, bool) {
	if s.Gross.Sign() <= 0 {
		return 0, false
	}
	wait := credits.Big()
	wait.Mul(wait, bigMillis(s.Window))
	wait.Add(wait, s.Gross.Big())
	wait.Sub(wait, bigMillis(1))
	wait.Quo(wait, s.Gross.Big())
	if !wait.IsInt64() || wait.Int64() > int64(farFuture) {
		return 0, false
	}
	return max(from, s.From) + schemas.Millis(wait.Int64()), true
}
