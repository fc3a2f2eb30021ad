package forecast

import (
	"math"
	"slices"
)

// horizons are the numbers of days at which past errors are looked at (rule 8).
var horizons = [...]int{1, 2, 3, 5, 7, 10, 14, 21, 28}

const (
	minErrors = 8 // at a horizon, for quantiles to be told from
	// errorDoubt is how many independent errors the fitted distribution
	// outweighs.
	errorDoubt = 6
	// widening of the band for what is learnt and shown on the same days.
	widening = 1.1
	// driftGrowth is the power of time by which the variance of the level
	// grows beyond what was seen: that of a random walk's deviation.
	driftGrowth = 0.5
	// youngDrift is the relative variance of the level of what nothing is
	// known about: half the level, either way.
	youngDrift = 0.25
	// shortest is the horizon, in days, below which errors of whole days say
	// nothing; from there to one day they say more and more.
	shortest = 0.25
	// mostSkewed is the largest ratio of deviation to mean of the fitted
	// distribution, at which its median is 0.
	mostSkewed = 3
)

// atHorizons is a figure at each horizon.
type atHorizons [len(horizons)]float64

// band is how sure the level is.
type band struct {
	mean      float64 // level of the whole history
	days      float64 // in which errors could be made
	known     int     // horizons[:known] have errors
	low, mid  atHorizons
	high      atHorizons // quantiles of (actual - expected) / scale
	errors    atHorizons // how many independent ones
	variances atHorizons // of the errors, bursts bounded

	still, events float64 // chance that the level stands still, and events a day

	noise, drift float64 // the variance at k >= 1 days is noise / k + drift
	short        float64 // and at less than one it is that of one / k^short
}

// newBand looks back at what the same levels would have missed; level says
// what they were after so many days for so many ahead.
func (d *days) newBand(first int, mean float64, level func(day, ahead int) float64) *band {
	b := &band{mean: mean, days: float64(d.count - first), events: d.eventsPerDay()}
	errors := make([]float64, 0, d.count)
	for at, ahead := range horizons {
		errors = errors[:0]
		squares := 0.0
		for day := first; day+ahead <= d.count; day++ {
			expected := d.expected[day+ahead] - d.expected[day]
			was := level(day, ahead)
			unit := scale(was, mean) * expected
			if expected < float64(ahead)/2 || unit <= 0 {
				continue // paused for the most part
			}
			errors = append(errors, (d.raw[day+ahead]-d.raw[day]-was*expected)/unit)
			e := (d.use[day+ahead] - d.use[day] - was*expected) / unit
			squares += e * e
		}
		if len(errors) < minErrors {
			break
		}
		slices.Sort(errors)
		b.errors[at] = float64(len(errors)) / float64(ahead)
		b.variances[at] = squares / float64(len(errors))
		b.low[at], b.mid[at], b.high[at] = quantile(errors, 0.1), quantile(errors, 0.5), quantile(errors, 0.9)
		b.known = at + 1
	}
	b.fit(d)
	return b
}

// scale is what errors are relative to: between the level and the mean of the
// whole history, so that a quiet time makes no error endless and none certain.
func scale(level, mean float64) float64 { return (level + mean) / 2 }

// fit finds noise and drift by weighted least squares, neither below 0.
func (b *band) fit(d *days) {
	if b.known == 0 {
		b.noise, b.drift = d.variance(), youngDrift
		return
	}
	const tiny = 1e-12 // an error that is never made weighs much, not everything
	var w, x, y, xx, xy float64
	for i := range b.known {
		inverse := 1 / float64(horizons[i])
		weight := b.errors[i] / (b.variances[i]*b.variances[i] + tiny)
		w += weight
		x += weight * inverse
		y += weight * b.variances[i]
		xx += weight * inverse * inverse
		xy += weight * inverse * b.variances[i]
	}
	if det := w*xx - x*x; b.known > 1 && det > tiny*w*xx {
		b.noise, b.drift = (w*xy-x*y)/det, (xx*y-x*xy)/det
	}
	switch {
	case b.known == 1 || b.drift < 0:
		b.noise, b.drift = xy/xx, 0
	case b.noise < 0:
		b.noise, b.drift = 0, y/w
	}
}

// variance of a day's use relative to the mean; one more day, that missed it
// by as much as the mean, keeps it off 0.
func (d *days) variance() float64 {
	use, expected := d.raw[d.count], d.expected[d.count]
	if use <= 0 || expected <= 0 {
		return 0
	}
	mean, sum := use/expected, 1.0
	for b := range d.count {
		e := (d.raw[b+1]-d.raw[b])/mean - (d.expected[b+1] - d.expected[b])
		sum += e * e
	}
	return sum / expected
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

// around returns what will have been used after so many days of expected use
// at this level, and how sure that is.
func (b *band) around(level, ahead float64) Amounts {
	a := b.quantiles(level, ahead)
	a.P50 += b.central(ahead) * (min(max(a.Mean, a.P10), a.P90) - a.P50)
	return a
}

// quantiles are as errors were in the past.
func (b *band) quantiles(level, ahead float64) Amounts {
	a := Amounts{Mean: level * ahead}
	unit := scale(level, b.mean) * ahead
	if unit <= 0 {
		return a
	}
	deviation := unit * math.Sqrt(b.variance(ahead))
	wide := b.wide(ahead)
	a.P50 = gamma(a.Mean, deviation, 0)
	a.P10 = gamma(a.Mean, wide*deviation, -z90)
	a.P90 = gamma(a.Mean, wide*deviation, z90)
	if b.known == 0 || ahead < shortest || ahead > float64(horizons[b.known-1]) {
		return a
	}
	i, j, between := around(ahead)
	at := func(values *atHorizons) float64 { return values[i] + between*(values[j]-values[i]) }
	errors, mid := at(&b.errors), at(&b.mid)
	believed := errors / (errors + errorDoubt) * min((ahead-shortest)/(1-shortest), 1)
	blend := func(fitted, seen float64) float64 {
		return fitted + believed*(max(a.Mean+unit*seen, 0)-fitted)
	}
	a.P10 = blend(a.P10, mid+wide*(at(&b.low)-mid))
	a.P50 = blend(a.P50, mid)
	a.P90 = blend(a.P90, mid+wide*(at(&b.high)-mid))
	return a
}

// around finds the horizons before and after so many days, at most the last
// one, and the share of the way from one to the other.
func around(ahead float64) (i, j int, between float64) {
	for float64(horizons[j]) < ahead {
		j++
	}
	if j == 0 {
		return 0, 0, 0
	}
	i = j - 1
	from, to := float64(horizons[i]), float64(horizons[j])
	return i, j, (ahead - from) / (to - from)
}

// within finds how fast errors grow relative to what is expected as less than
// a day is expected: like those of hours that know nothing of each other
// (short = 1), or of hours that are all off together (0).
func (b *band) within(hour hourNoise) {
	b.short = 1
	if day := b.noise + b.drift; day > 0 && hour.variance > 0 && hour.days > 0 && hour.days < 1 {
		b.short = min(max(math.Log(hour.variance/day)/-math.Log(hour.days), 0), 1)
	}
}

// variance relative to scale, so many days ahead.
func (b *band) variance(ahead float64) float64 {
	if ahead < 1 {
		return (b.noise + b.drift) * math.Pow(ahead, -b.short)
	}
	drift := b.drift
	if b.known > 0 {
		if last := float64(horizons[b.known-1]); ahead > last {
			drift *= math.Pow(ahead/last, driftGrowth)
		}
	}
	return b.noise/ahead + drift
}

// wide is by how much the band is widened because few errors tell of it, the
// fewer the further ahead, since they overlap: about what Student's t is to
// the normal distribution at 90 %.
func (b *band) wide(ahead float64) float64 {
	return widening * (1 + 1/(1+max(b.days/max(ahead, 1)-1, 0)))
}

// z90 is the standard normal's quantile of 90 %.
const z90 = 1.2815515655446004

// gamma is the quantile of a gamma distribution of this mean and standard
// deviation, where the standard normal's is z, as Wilson and Hilferty
// approximate it.
func gamma(mean, deviation, z float64) float64 {
	if mean <= 0 {
		return 0
	}
	c := min(deviation/mean, mostSkewed)
	root := max(1-c*c/9+z*c/3, 0)
	return mean * root * root * root
}
