package forecast

import "slices"

// Rule 4. An hour counts at most burstFactor times the amount that
// burstRank - 1 other hours reached, or one in burstShare where only few have
// an amount.
const (
	burstFactor = 2
	burstRank   = 6 // one hour a week, for eight weeks, is a habit
	burstShare  = 16
	burstDoubt  = 2 // days with a burst, beyond the first, that are half believed
)

// boundBursts returns the amounts with bursts bounded; the same slice if there
// are none.
func boundBursts(amounts []float64, usedHours int) []float64 {
	if usedHours < burstShare {
		return amounts
	}
	bound := burstFactor * largest(amounts, min(burstRank, 1+usedHours/burstShare))
	if slices.Max(amounts) <= bound {
		return amounts
	}
	out := slices.Clone(amounts)
	kept, excess := 0.0, 0.0
	days, began := 0.0, -hoursPerDay
	for i, amount := range amounts {
		if amount > bound {
			excess += amount - bound
			out[i] = bound
			// Days begin with bursts: were they cut at the instant's hour, one of
			// two hours would be two of them for an hour a day.
			if i-began >= hoursPerDay {
				days, began = days+1, i
			}
		}
		kept += out[i]
	}
	// One burst is an accident, several are a habit: what they had above the
	// bound is given back, the more of it the more days had one, to all hours in
	// proportion, so that no day stands out.
	back := 1 + excess/kept*(days-1)/(days-1+burstDoubt)
	for i := range out {
		out[i] *= back
	}
	return out
}

// largest is the rank-th largest of the amounts, rank at most burstRank.
func largest(amounts []float64, rank int) float64 {
	var top [burstRank]float64 // descending
	for _, amount := range amounts {
		if amount <= top[rank-1] {
			continue
		}
		at := rank - 1
		for at > 0 && top[at-1] < amount {
			top[at] = top[at-1]
			at--
		}
		top[at] = amount
	}
	return top[rank-1]
}
