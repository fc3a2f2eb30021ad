package forecast

import (
	"math"
	"slices"
)

// horizons are the numbers of days at which past errors are looked at (rule 8).
var horizons = [...]int{1, 2, 3, 5, 7, 10, 14, 21, 28}

// anchors are the numbers of days at which the mix of levels is chosen.
var anchors = [...]int{1, 7, 14}

var (
	minOriginDays = 10.0 // of history before an origin
	minOrigins    = 8.0  // of errors at a horizon
	weightPower   = 4.0  // of past errors in the weight of a candidate
	inflate       = 1.15
	grow          = 0.25 // relative variance beyond the last horizon grows with this power
	doubt         = 6.0
	levelDoubt    = 0.1
	youngDoubt    = 0.25
)

// past is what a series' own forecasts would have been worth.
type past struct {
	levels [len(anchors)]float64 // at At
	mean   float64               // level of the whole history

	// low, mid, high are quantiles of (actual - expected) / scale at
	// horizons[:known].
	method         Method
	known          int
	low, mid, high [len(horizons)]float64
	origins        [len(horizons)]float64
	noise, drift   float64 // relative variance at k days is noise / k + drift
}

// scale is what errors are relative to: between the level and the mean of the
// whole history, so that a quiet time makes no error endless and none certain.
func scale(level, mean float64) float64 { return (level + mean) / 2 }

func newPast(d *days, method Method) *past {
	n := len(d.use)
	levels := d.levels()
	p := &past{method: method, mean: levels[n-1][candidates-1]}
	var weights [len(anchors)][candidates]float64
	raw, use, expected := upTo(d.raw), upTo(d.use), upTo(d.expected)
	for i, k := range anchors {
		weights[i][candidates-1] = 1
		if method == Seasonal {
			weights[i] = weigh(levels, use, expected, k)
		}
		p.levels[i] = dot(&weights[i], &levels[n-1])
	}
	errors := make([]float64, 0, n)
	var variances [len(horizons)]float64
	for at, k := range horizons {
		errors = errors[:0]
		sum := 0.0
		for b := int(minOriginDays) - 1; b+k < n; b++ {
			ahead := expected[b+1+k] - expected[b+1]
			level := levelAt(float64(k), func(i int) float64 { return dot(&weights[i], &levels[b]) })
			s := scale(level, p.mean) * ahead
			if ahead < float64(k)/2 || s <= 0 {
				continue // paused for the most part
			}
			errors = append(errors, (raw[b+1+k]-raw[b+1]-level*ahead)/s)
			e := (use[b+1+k] - use[b+1] - level*ahead) / s
			sum += e * e
		}
		if len(errors) < int(minOrigins) {
			break
		}
		slices.Sort(errors)
		p.origins[at] = float64(len(errors)) / float64(k)
		variances[at] = sum / float64(len(errors))
		p.low[at], p.mid[at], p.high[at] = quantile(errors, 0.1), quantile(errors, 0.5), quantile(errors, 0.9)
		p.known = at + 1
	}
	p.spread(d, &variances)
	return p
}

func upTo(values []float64) []float64 {
	out := make([]float64, len(values)+1)
	for i, v := range values {
		out[i+1] = out[i] + v
	}
	return out
}

func dot(a, b *[candidates]float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// levelAt interpolates between the anchors.
func levelAt(ahead float64, level func(anchor int) float64) float64 {
	for i, k := range anchors {
		if ahead <= float64(k) {
			if i == 0 {
				return level(0)
			}
			before := float64(anchors[i-1])
			share := (ahead - before) / (float64(k) - before)
			return (1-share)*level(i-1) + share*level(i)
		}
	}
	return level(len(anchors) - 1)
}

// spread fits noise and drift to the variances: the first at one day, the
// second where the longest horizon with enough origins is.
func (p *past) spread(d *days, variances *[len(horizons)]float64) {
	if p.known == 0 {
		p.noise, p.drift = d.variance(), youngDoubt
		return
	}
	// Weighted least squares of v = noise / k + drift, both at least 0.
	var w, x, y, xx, xy float64
	for i := range p.known {
		k := float64(horizons[i])
		weight := p.origins[i] / (variances[i]*variances[i] + 1e-12)
		w += weight
		x += weight / k
		y += weight * variances[i]
		xx += weight / k / k
		xy += weight * variances[i] / k
	}
	det := w*xx - x*x
	if p.known > 1 && det > 1e-12*w*xx {
		p.noise, p.drift = (w*xy-x*y)/det, (xx*y-x*xy)/det
	}
	switch {
	case p.known == 1 || p.drift < 0:
		p.noise, p.drift = xy/xx, 0
	case p.noise < 0:
		p.noise, p.drift = 0, y/w
	}
}

// variance of a day's use relative to the mean.
func (d *days) variance() float64 {
	use, expected := 0.0, 0.0
	for b := range d.use {
		use += d.raw[b]
		expected += d.expected[b]
	}
	if use <= 0 || expected <= 0 {
		return 0
	}
	mean, sum := use/expected, 0.0
	for b := range d.use {
		e := d.raw[b]/mean - d.expected[b]
		sum += e * e
	}
	return (sum + 1) / expected
}

// weigh gives candidates with small past errors, at so many days ahead, large
// weights.
func weigh(levels [][candidates]float64, use, expected []float64, k int) (weights [candidates]float64) {
	var missed [candidates]float64
	n := len(levels)
	for b := int(minOriginDays) - 1; b+k < n; b++ {
		actual, ahead := use[b+1+k]-use[b+1], expected[b+1+k]-expected[b+1]
		for c := range missed {
			e := actual - levels[b][c]*ahead
			missed[c] += e * e
		}
	}
	best := slices.Min(missed[:])
	total := 0.0
	for c := range weights {
		weights[c] = 1
		if best > 0 {
			weights[c] = math.Pow(best/missed[c], weightPower)
		}
		total += weights[c]
	}
	for c := range weights {
		weights[c] /= total
	}
	return weights
}

// quantile of sorted values, by the rank that holds for the next one too:
// q (n + 1), as in conformal prediction.
func quantile(sorted []float64, q float64) float64 {
	rank := q*float64(len(sorted)+1) - 1
	if rank <= 0 {
		return sorted[0]
	}
	if rank >= float64(len(sorted)-1) {
		return sorted[len(sorted)-1]
	}
	at := int(rank)
	return sorted[at] + (rank-float64(at))*(sorted[at+1]-sorted[at])
}

// z10 is the standard normal's quantile of 90 %.
const z10 = 1.2815515655446004

// band returns the quantiles of use at so many days ahead (rule 8).
func (p *past) band(ahead float64) Amounts {
	level := levelAt(ahead, func(i int) float64 { return p.levels[i] })
	a := Amounts{Mean: level * ahead}
	unit := scale(level, p.mean) * ahead
	if unit <= 0 {
		return a
	}
	variance := p.noise/ahead + p.drift
	if p.known > 0 {
		if last := float64(horizons[p.known-1]); ahead > last {
			variance = p.noise/ahead + p.drift*math.Pow(ahead/last, 2*grow)
		}
	}
	variance *= inflate * inflate
	a.P10, a.P50, a.P90 = gamma(a.Mean, unit*math.Sqrt(variance))
	if p.method != Seasonal || p.known == 0 || ahead < 0.5 || ahead > float64(horizons[p.known-1]) {
		return a
	}
	at := 0
	for float64(horizons[at]) < ahead {
		at++
	}
	i, between := max(at-1, 0), 0.0
	if at > 0 {
		between = (ahead - float64(horizons[i])) / float64(horizons[at]-horizons[i])
	}
	mix := func(q *[len(horizons)]float64) float64 { return q[i] + between*(q[at]-q[i]) }
	origins := mix(&p.origins)
	w := origins / (origins + doubt)
	mid := mix(&p.mid)
	blend := func(g, e float64) float64 { return g + w*(max(a.Mean+unit*e, 0)-g) }
	a.P10 = blend(a.P10, mid+inflate*(mix(&p.low)-mid))
	a.P50 = blend(a.P50, mid)
	a.P90 = blend(a.P90, mid+inflate*(mix(&p.high)-mid))
	return a
}

// gamma returns the quantiles of a gamma distribution of this mean and
// standard deviation, as Wilson and Hilferty approximate them.
func gamma(mean, deviation float64) (p10, p50, p90 float64) {
	if mean <= 0 {
		return 0, 0, 0
	}
	c := min(deviation/mean, 3)
	at := func(z float64) float64 {
		root := max(1-c*c/9+z*c/3, 0)
		return mean * root * root * root
	}
	return at(-z10), at(0), at(z10)
}
