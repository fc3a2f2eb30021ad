package forecast

import (
	"math"
	"slices"
)

// days are the history in blocks of 24 hours that end at At, oldest first, as
// sums from the start: use[i] is of the first i days.
type days struct {
	count    int
	use      []float64 // amounts, bursts bounded
	raw      []float64 // amounts
	expected []float64 // active hours x profile, in days: about 1 for a day without pause

	squares float64 // sum of the squares of hours' amounts
}

func newDays(h *history, p *profile) *days {
	n := len(h.amounts)
	d := &days{count: (n + hoursPerDay - 1) / hoursPerDay}
	d.use, d.raw, d.expected = make([]float64, d.count+1), make([]float64, d.count+1), make([]float64, d.count+1)
	for i := range n {
		b := d.count - (n-1-i)/hoursPerDay
		d.use[b] += h.amounts[i]
		d.raw[b] += h.raw[i]
		d.squares += h.raw[i] * h.raw[i]
		d.expected[b] += h.active[i] * p[h.week[i]] / hoursPerDay
	}
	for b := range d.count {
		d.use[b+1] += d.use[b]
		d.raw[b+1] += d.raw[b]
		d.expected[b+1] += d.expected[b]
	}
	return d
}

// halfLives are in days: how fast each candidate for the level forgets (rule
// 6), fastest first; the last of them is the mean of everything.
var halfLives = [...]float64{2, 4, 8, 16, math.Inf(1)}

// The candidates by place: halfLives, then the damped trend, which goes on
// from one of them along the way from another.
const (
	trendFrom  = 1 // of 4 days
	trendPast  = 3 // of 16 days
	meanOfAll  = len(halfLives) - 1
	trend      = len(halfLives)
	candidates = len(halfLives) + 1

	// levelDoubt is how many days of the mean are mixed into each candidate,
	// so that one that has seen next to no expected use says nothing wild.
	levelDoubt = 0.1
	// trendHalfLife is in days: how soon a trend ends. Two weeks ahead it has
	// gone half of the way that it would go at all.
	trendHalfLife = 14
	// trendMost bounds what a trend makes of the level it starts from.
	trendMost = 3
)

// mixture is a number per candidate: levels, or weights.
type mixture [candidates]float64

// levels are the candidates on a day; the trend is left to along.
type levels struct {
	mixture
	fromAge, pastAge float64 // mean age, in days, of what trendFrom and trendPast weigh
}

// candidateLevels are the candidates after so many days: amount per unit of
// expected use.
func (d *days) candidateLevels() []levels {
	out := make([]levels, d.count+1)
	var sum, weight, age, fade [len(halfLives)]float64
	for c, halfLife := range halfLives {
		fade[c] = math.Exp2(-1 / halfLife)
	}
	for b := 1; b <= d.count; b++ {
		mean := 0.0
		if d.expected[b] > 0 {
			mean = d.use[b] / d.expected[b]
		}
		for c := range fade {
			age[c] = (age[c] + weight[c]) * fade[c] // all are a day older
			sum[c] = sum[c]*fade[c] + d.use[b] - d.use[b-1]
			weight[c] = weight[c]*fade[c] + d.expected[b] - d.expected[b-1]
			out[b].mixture[c] = (sum[c] + mean*levelDoubt) / (weight[c] + levelDoubt)
		}
		out[b].fromAge = age[trendFrom] / (weight[trendFrom] + levelDoubt)
		out[b].pastAge = age[trendPast] / (weight[trendPast] + levelDoubt)
	}
	return out
}

// trendSteps is how many days' steps the trend has made on the mean of so many
// days ahead: each is shorter than the one before.
func trendSteps(ahead float64) float64 {
	step := math.Exp2(-1.0 / trendHalfLife)
	return step / (1 - step) * (1 - step*(1-math.Pow(step, ahead))/((1-step)*ahead))
}

// along sets the trend to where it is after so many steps.
func (l *levels) along(steps float64) {
	from, past := l.mixture[trendFrom], l.mixture[trendPast]
	l.mixture[trend] = from
	if apart := l.pastAge - l.fromAge; apart > 1 {
		l.mixture[trend] = min(max(from+(from-past)*(l.fromAge+steps)/apart, from/trendMost), from*trendMost)
	}
}

// anchors are the numbers of days ahead for which a mix is chosen; in between
// it is interpolated.
var anchors = [...]int{1, 7, 21}

// The powers by which past errors become weights (rule 7); chosen, as every
// number in this file, band.go and profile.go, on the series and years that
// docs/forecast.md names, and shown on others.
const (
	dayPower  = 8  // of errors one day ahead, for one day
	dayPart   = 4  // the same, for a week and more
	weekPower = 4  // of errors a week ahead
	minDays   = 10 // of history before an error is looked at
)

// mixes are the weights of the candidates at each anchor.
func (d *days) mixes(all []levels, still float64) (weights [len(anchors)]mixture) {
	day, week := d.worth(all, 1), d.worth(all, 7)
	for c := range candidates {
		weights[0][c] = math.Pow(day[c], dayPower)
		weights[1][c] = math.Pow(day[c], dayPart) * math.Pow(week[c], weekPower)
		// Three weeks ahead eight weeks hold too few errors to choose by; what
		// moves slowly is likelier to hold, and a trend is not.
		weights[2][c] = weights[1][c] * float64(1+c%trend)
	}
	for i := range weights {
		weights[i].normalise()
		weights[i].hold(still)
	}
	return weights
}

// worth is, for each candidate, the smallest of their mean squared errors at
// so many days ahead divided by its own: 1 for the best.
func (d *days) worth(all []levels, ahead int) (worth mixture) {
	steps := trendSteps(float64(ahead))
	for b := minDays; b+ahead <= d.count; b++ {
		actual, expected := d.use[b+ahead]-d.use[b], d.expected[b+ahead]-d.expected[b]
		level := all[b]
		level.along(steps)
		for c := range worth {
			e := actual - level.mixture[c]*expected
			worth[c] += e * e
		}
	}
	best := slices.Min(worth[:])
	for c := range worth {
		if worth[c] > 0 {
			worth[c] = best / worth[c]
		} else {
			worth[c] = 1
		}
	}
	return worth
}

func (m *mixture) normalise() {
	sum := 0.0
	for _, v := range m {
		sum += v
	}
	for c := range m {
		m[c] /= sum
	}
}

func (m *mixture) dot(other *mixture) float64 {
	sum := 0.0
	for c, v := range m {
		sum += v * other[c]
	}
	return sum
}

// atAnchors is a figure at each anchor.
type atAnchors [len(anchors)]float64

// at interpolates; beyond the last anchor, and before the first, it is flat.
func (a *atAnchors) at(ahead float64) float64 {
	if ahead <= float64(anchors[0]) {
		return a[0]
	}
	for i := 1; i < len(anchors); i++ {
		if from, to := float64(anchors[i-1]), float64(anchors[i]); ahead <= to {
			return a[i-1] + (a[i]-a[i-1])*(ahead-from)/(to-from)
		}
	}
	return a[len(a)-1]
}
