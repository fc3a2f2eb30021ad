package alerts

import (
	"math"
	"slices"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

// Outlook is a forecast of gross usage from some instant on.
type Outlook struct {
	Method forecast.Method
	Usage  balance.Outlook
}

// Known says whether there is a forecast.
func (o Outlook) Known() bool { return known(o.Method) && o.Usage != nil }

// known says whether a method's figures are.
func known(method forecast.Method) bool { return method != "" && method != forecast.InsufficientData }

// between is how many credits will be used in a range.
func (o Outlook) between(from, to schemas.Millis) float64 {
	if told, ok := o.Usage.(told); ok {
		// The same without amounts that are exact in name only.
		return told.credits(to) - told.credits(from)
	}
	return o.Usage.Used(to).Sub(o.Usage.Used(from)).Float()
}

// horizonYears is how far a runway is looked for (DESIGN section 8).
const horizonYears = 5

// Foresee continues the balance that SetBalance took along an outlook, made at
// its instant or before, by the rules of package balance: when it is 0, and
// what will expire unused.
func (f *Figures) Foresee(state *balance.State, outlook Outlook) error {
	entries := remainder(state)
	f.Runway = Runway{ExhaustsAt: schemas.NoInstant}
	if !outlook.Known() {
		f.Expiries = unknownExpiries(entries, state.At)
		return nil
	}
	before, err := balance.Segments(entries, state.At)
	if err != nil {
		return err
	}
	if len(before) > 0 {
		before[len(before)-1].Net = state.Overdraft
	}
	horizon := schemas.MillisOf(state.At.Time().AddDate(horizonYears, 0, 0))
	future, err := balance.Foresee(entries, before, state, outlook.Usage, horizon)
	if err != nil {
		return err
	}
	f.Runway.Method, f.Runway.ExhaustsAt = outlook.Method, future.ExhaustedAt
	if future.ExhaustedAt == schemas.NoInstant || future.ExhaustedAt > horizon {
		f.Runway.ExhaustsAt, f.Runway.Never = schemas.NoInstant, true
	}
	f.Expiries = nil
	for _, unused := range future.Unused {
		f.Expiries = append(f.Expiries, Expiry{At: unused.At, Unused: unused.Credits.Float(), Method: outlook.Method})
	}
	return nil
}

// remainder is a ledger that goes on from a state: what active grants hold and
// what scheduled ones will. It is as short as there are such grants, however
// long the ledger is, and nothing else can be to come, because no event is of
// the future.
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
		// Carry-overs and adjustments may be called as grants are.
		id := string(g.Origin) + ":" + g.GrantID
		entries = append(entries, balance.Entry{
			Type: schemas.CreditsGranted, EventID: id, GrantID: id, At: state.At, Offset: uint64(i),
			Credits: schemas.Credits(micro), Class: g.Class, Priority: g.Priority,
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
