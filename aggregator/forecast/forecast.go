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
		p, hour := newProfile(h)
		m := newDays(h, p).seasonal()
		m.band.within(hour)
		return m.along(s, h, p, until)
	case h.activeHours >= runRateHours && h.usedHours >= runRateUsedHours,
		h.knownSince && h.activeHours >= silentHours:
		p := flatProfile()
		m := newDays(h, p).runRate()
		m.band.within(p.noise(h, relativeTo(m.levels[0]/hoursPerDay, h.amounts)))
		return m.along(s, h, p, until)
	}
	return Forecast{Method: InsufficientData, Curve: Curve{at: s.At}}
}

// model is a level, per unit of profile and day, and how sure it is.
type model struct {
	method Method
	levels atAnchors
	band   *band
}

// seasonal mixes the candidates for the level by what their past errors were.
func (d *days) seasonal() *model {
	candidates := d.candidateLevels()
	still := d.stillness()
	weights := d.mixes(candidates, still)
	mixed := make([]atAnchors, len(candidates))
	for i, ahead := range anchors {
		steps := trendSteps(float64(ahead))
		for day := range mixed {
			candidates[day].along(steps)
			mixed[day][i] = weights[i].dot(&candidates[day].mixture)
		}
	}
	m := &model{
		method: Seasonal,
		levels: mixed[d.count],
		band: d.newBand(minDays, candidates[d.count].mixture[meanOfAll], func(day, ahead int) float64 {
			return mixed[day].at(float64(ahead))
		}),
	}
	m.band.still = still
	return m
}

// relativeTo divides amounts by a level per hour.
func relativeTo(level float64, amounts []float64) []float64 {
	out := make([]float64, len(amounts))
	for i, amount := range amounts {
		if level > 0 {
			out[i] = amount / level
		}
	}
	return out
}

// runRate takes the mean of everything for the level, and for what it would
// have been on every day before.
func (d *days) runRate() *model {
	mean := 0.0
	if expected := d.expected[d.count]; expected > 0 {
		mean = d.use[d.count] / expected
	}
	m := &model{method: RunRate, band: d.newBand(0, mean, func(int, int) float64 { return mean })}
	m.band.still = 1 // nothing else is said of the level
	for i := range m.levels {
		m.levels[i] = mean
	}
	return m
}

// along lays the level along the profile over the hours to come.
func (m *model) along(s *Series, h *history, shape *profile, until schemas.Millis) Forecast {
	f := Forecast{Method: m.method, Level: m.levels.at(7) / hoursPerDay, Curve: Curve{at: s.At}}
	first := floorHour(s.At)
	until = min(until, s.At+maxHorizon)
	f.Curve.knots = make([]Amounts, knotsFor(int((until-first+hourMillis-1)/hourMillis)))
	shares := make([]float64, hoursAt(len(f.Curve.knots)-1))
	activeShares(shares, first, s.At, f.Curve.Until(), s.Paused, s.EndsAt)
	calendar := calendarOf(s.Zone)
	ahead, age, hour := 0.0, h.activeHours+trust, 0
	doubted := m.method == RunRate && s.EndsAt == 0 && h.activeHours < seasonalHours
	for i := 1; i < len(f.Curve.knots); i++ {
		before, knot, was := &f.Curve.knots[i-1], &f.Curve.knots[i], ahead
		for ; hour < hoursAt(i); hour++ {
			share := shares[hour]
			if doubted {
				share *= age / (age + float64(hour)) // rule 9
			}
			if share > 0 {
				ahead += share * shape[calendar.hourOfWeek(first+hourMillis*schemas.Millis(hour))] / hoursPerDay
			}
		}
		if ahead == was {
			*knot = *before
			continue
		}
		*knot = m.band.around(m.levels.at(ahead), ahead)
		knot.rise(before)
	}
	return f
}
