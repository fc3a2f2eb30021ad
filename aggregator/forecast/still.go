package forecast

import "math"

// steps are the variances of a day's step of the level, relative to that of a
// day's noise, among which a history may choose; the first is a level that
// stands still.
var steps = [...]float64{0, 0.003, 0.01, 0.03, 0.1, 0.3, 1}

const (
	// stillOdds are the odds of a level that stands still against one that
	// moves before anything was seen. 1, 5 and 20 were compared.
	stillOdds = 5
	// stillDays is how many days tell of a step at all.
	stillDays = 3
	// leastExpected is the least part of a day that tells of the level.
	leastExpected = 0.05
	// centralEvents is how many events it takes for a median to be half way from
	// where past errors see it to the mean. 2, 4 and 8 were compared.
	centralEvents = 2
)

// stillness is the chance that the level stands still: how likely the days are
// if it does, against the mean of how likely they are with each step.
func (d *days) stillness() float64 {
	var logs [len(steps)]float64
	most := math.Inf(-1)
	for i, step := range steps {
		likely, known := d.likelihood(step)
		if !known {
			return 0
		}
		logs[i] = likely
		most = max(most, likely)
	}
	moves := 0.0
	for _, likely := range logs[1:] {
		moves += math.Exp(likely-most) / float64(len(steps)-1)
	}
	stands := stillOdds * math.Exp(logs[0]-most)
	return stands / (stands + moves)
}

// likelihood is the log of how likely the days are by a local level model whose
// level makes steps of this variance (a Kalman filter's prediction errors, the
// scale concentrated out); not known where no error was made.
func (d *days) likelihood(step float64) (log float64, known bool) {
	level, variance := 0.0, 0.0 // relative to the noise of a day
	logs, squares, n := 0.0, 0.0, 0.0
	begun := false
	for b := range d.count {
		use, expected := d.use[b+1]-d.use[b], d.expected[b+1]-d.expected[b]
		if begun {
			variance += step
		}
		switch {
		case expected < leastExpected:
		case !begun:
			level, variance, begun = use/expected, 1/expected, true
		default:
			missed, spread := use-level*expected, expected*expected*variance+expected
			logs += math.Log(spread)
			squares += missed * missed / spread
			n++
			gain := variance * expected / spread
			level += gain * missed
			variance *= 1 - gain*expected
		}
	}
	if n < stillDays || !(squares > 0) {
		return 0, false
	}
	return -(n*math.Log(squares/n) + logs) / 2, true
}

// hold moves weights to the mean of all by the chance that the level stands
// still.
func (m *mixture) hold(still float64) {
	for c := range m {
		m[c] *= 1 - still
	}
	m[meanOfAll] += still
}

// eventsPerDay is how many events of equal size a day of expected use has, if
// they are to vary by as much as the amounts of hours do: (sum)^2 / sum of
// squares (Kish's effective number).
func (d *days) eventsPerDay() float64 {
	if expected := d.expected[d.count]; expected > 0 && d.squares > 0 {
		return d.raw[d.count] / d.squares * d.raw[d.count] / expected
	}
	return 0
}

// central is how far the median lies at the mean (rule 8): the further, the
// likelier the level stands still and the more events there are.
func (b *band) central(ahead float64) float64 {
	n := b.events * ahead
	return b.still * n * n / (n*n + centralEvents*centralEvents)
}
