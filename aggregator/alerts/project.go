package alerts

import (
	"math"
	"slices"
	"sort"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// Outlook is a forecast of gross usage, made at some instant.
type Outlook struct {
	Method string // empty: nothing is known
	// Used is how many credits will be used from that instant until another,
	// for any later one. It never falls.
	Used func(until schemas.Millis) float64
}

// Known says whether there is a forecast.
func (o Outlook) Known() bool { return o.Method != "" && o.Used != nil }

// between is what will be used in a range.
func (o Outlook) between(from, to schemas.Millis) float64 {
	return max(o.Used(to)-o.Used(from), 0)
}

// horizonYears is how far a runway is looked for (DESIGN section 8).
const horizonYears = 5

// Project continues a balance along an outlook, by the rules of package
// balance: when it is 0, and what will expire unused.
func Project(state *balance.State, outlook Outlook) (Runway, []Expiry, error) {
	horizon := schemas.MillisOf(state.At.Time().AddDate(horizonYears, 0, 0))
	entries := remainder(state)
	if !outlook.Known() {
		return Runway{ExhaustsAt: schemas.NoInstant}, unknownExpiries(entries, state.At), nil
	}
	segments, err := balance.Segments(entries, horizon)
	if err != nil {
		return Runway{}, nil, err
	}
	for i := range segments {
		if from := max(segments[i].From, state.At); from < segments[i].To {
			segments[i].Net = totalOf(outlook.between(from, segments[i].To))
		}
	}
	if len(segments) > 0 {
		segments[0].Net = segments[0].Net.Add(state.Overdraft)
	}
	steps, err := balance.Steps(entries, segments, horizon)
	if err != nil {
		return Runway{}, nil, err
	}
	var expiries []Expiry
	for _, step := range steps {
		if step.Kind != balance.Expires || step.At <= state.At {
			continue
		}
		expired := step.Credits.Float()
		if n := len(expiries); n > 0 && expiries[n-1].At == step.At {
			expiries[n-1].Unused += expired
			continue
		}
		expiries = append(expiries, Expiry{At: step.At, Unused: expired, Method: outlook.Method})
	}
	exhaustsAt := state.At
	if state.Remaining.Sign() > 0 {
		exhaustsAt = exhaustion(steps, state.At, outlook)
	}
	return Runway{ExhaustsAt: exhaustsAt, Never: exhaustsAt == schemas.NoInstant, Method: outlook.Method}, expiries, nil
}

// remainder is a ledger that goes on from a state: what active grants hold and
// what scheduled ones will. Nothing else can be to come, because no event is
// of the future.
func remainder(state *balance.State) []balance.Entry {
	var entries []balance.Entry
	for i := range state.Grants {
		g := &state.Grants[i]
		if (g.Status != balance.Active && g.Status != balance.Scheduled) || g.Remaining.Sign() <= 0 {
			continue
		}
		micro, fits := g.Remaining.Micro()
		if !fits {
			micro = math.MaxInt64
		}
		entries = append(entries, balance.Entry{
			// Carry-overs and adjustments may be called as grants are.
			Type: schemas.CreditsGranted, EventID: string(g.Origin) + ":" + g.GrantID, GrantID: string(g.Origin) + ":" + g.GrantID,
			At: state.At, Offset: uint64(i), Credits: schemas.Credits(micro), Class: g.Class, Priority: g.Priority,
			EffectiveAt: max(g.EffectiveAt, state.At), ExpiresAt: g.ExpiresAt,
		})
	}
	return entries
}

func unknownExpiries(entries []balance.Entry, at schemas.Millis) []Expiry {
	var expiries []Expiry
	for i := range entries {
		if e := entries[i].ExpiresAt; e > at {
			expiries = append(expiries, Expiry{At: e})
		}
	}
	slices.SortFunc(expiries, func(a, b Expiry) int { return int(min(max(a.At-b.At, -1), 1)) })
	return slices.CompactFunc(expiries, func(a, b Expiry) bool { return a.At == b.At })
}

// exhaustion is the first instant after at when nothing is left of what there is
// at at, or NoInstant.
func exhaustion(steps []balance.Step, at schemas.Millis, outlook Outlook) schemas.Millis {
	held := schemas.Total{}
	for i, step := range steps {
		if from := max(step.At, at); step.Kind == balance.Uses && from < step.To && held.Sign() > 0 && held.Add(step.Change).Sign() <= 0 {
			return reaches(outlook, from, step.To, held.Float())
		}
		held = held.Add(step.Change)
		// Once all that happens at an instant has happened.
		last := i+1 == len(steps) || steps[i+1].At > step.At
		if last && step.Kind != balance.Uses && step.At >= at && held.Sign() <= 0 {
			return step.At
		}
	}
	return schemas.NoInstant
}

// reaches is the first instant in (from, to] at which an amount has been used
// since from; to, if rounding has it that none is.
func reaches(outlook Outlook, from, to schemas.Millis, amount float64) schemas.Millis {
	base := outlook.Used(from)
	after := sort.Search(int(to-from), func(i int) bool {
		return outlook.Used(from+schemas.Millis(i)+1)-base >= amount
	})
	return min(from+schemas.Millis(after)+1, to)
}

// totalOf rounds a forecast to micro-credits.
func totalOf(credits float64) schemas.Total {
	const most = math.MaxInt64 / 2 / schemas.MicrosPerCredit // more than any grant
	return schemas.TotalOf(int64(math.Round(min(credits, most) * schemas.MicrosPerCredit)))
}
