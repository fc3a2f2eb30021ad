package forecast

import (
	"github.com/drawdown/drawdown/schemas"
)

// Method says what a forecast rests on.
type Method string

// The methods (rule 2).
const (
	Seasonal         Method = "seasonal"
	RunRate          Method = "run_rate"
	InsufficientData Method = "insufficient_data"
)

// Forecast is what is expected of a series after its instant.
type Forecast struct {
	Method Method
	// Curve is empty (all zero) with InsufficientData: then nothing is known.
	Curve Curve
	// Level is the expected use per hour, averaged over a week without pauses.
	Level float64
}

// What each method needs (rule 2).
const (
	seasonalHours     = 14 * hoursPerDay // active: every hour of the week twice
	seasonalUsedHours = 24
	runRateHours      = hoursPerDay // active
	runRateUsedHours  = 3
	silentHours       = hoursPerWeek // active, without use: then 0 is a run rate
)

// maxHorizon is as far as a runway is told: five years.
const maxHorizon = 5 * 366 * hoursPerDay * hourMillis

// trust is the age, in hours, that a run rate is believed to have more than it
// has (rule 9): a week, the cycle that anything which goes on has seen.
const trust = hoursPerWeek

// Project forecasts a series from At until an instant. It is a pure function:
// the same series gives the same forecast, bit for bit on one architecture.
func Project(s *Series, until schemas.Millis) Forecast {
	if !canStillBeUsed(s.At, until, s.Paused, s.EndsAt) {
		return Forecast{Method: RunRate, Curve: Curve{at: s.At}}
	}
	h := newHistory(s)
	switch {
	case h.activeHours >= seasonalHours && h.usedHours >= seasonalUsedHours:
		p := newProfile(h)
		return newPast(newDays(h, p), Seasonal).forecast(s, h, Seasonal, p, until)
	case h.activeHours >= runRateHours && h.usedHours >= runRateUsedHours,
		h.knownSince && h.activeHours >= silentHours:
		p := flatProfile()
		return newPast(newDays(h, p), RunRate).forecast(s, h, RunRate, p, until)
	}
	return Forecast{Method: InsufficientData, Curve: Curve{at: s.At}}
}

// forecast lays the level along the profile over the hours to come.
func (p *past) forecast(s *Series, h *history, method Method, shape *profile, until schemas.Millis) Forecast {
	f := Forecast{Method: method, Level: p.levels[1] / hoursPerDay, Curve: Curve{at: s.At}}
	first := floorHour(s.At)
	until = min(until, s.At+maxHorizon)
	hours := int((until - first + hourMillis - 1) / hourMillis)
	shares := make([]float64, hours)
	activeShares(shares, first, s.At, until, s.Paused, s.EndsAt)
	f.Curve.knots = make([]Amounts, hours+1)
	calendar := calendarOf(s.Zone)
	ahead, age := 0.0, h.activeHours+trust
	doubted := method == RunRate && s.EndsAt == 0
	for i, share := range shares {
		before, knot := f.Curve.knots[i], &f.Curve.knots[i+1]
		if share == 0 {
			*knot = before
			continue
		}
		believed := 1.0
		if doubted {
			believed = age / (age + float64(i)) // rule 9
		}
		ahead += believed * share * shape[calendar.hourOfWeek(first+hourMillis*schemas.Millis(i))] / hoursPerDay
		*knot = p.band(ahead)
		knot.Mean = max(knot.Mean, before.Mean)
		knot.P10 = max(knot.P10, before.P10)
		knot.P50 = max(knot.P50, before.P50, knot.P10)
		knot.P90 = max(knot.P90, before.P90, knot.P50)
	}
	return f
}
