package forecast

import "math"

// profile is how much of an average hour's use each hour of the week has: the
// mean over the week is 1 (rule 5).
type profile [hoursPerWeek]float64

const (
	// weekFade is the weight of a week against that of the next one.
	weekFade = 0.9
	// shapeHalfLife is in hours: what is used at which hour of the day moves
	// with the seasons, faster than the days of the week do.
	shapeHalfLife = 10 * hoursPerDay
)

func flatProfile() *profile {
	var p profile
	for i := range p {
		p[i] = 1
	}
	return &p
}

// newProfile learns the hour of the week from amounts that are divided by
// their week's level, so that growth is no profile.
func newProfile(h *history) (p *profile, hour hourNoise) {
	p = flatProfile()
	n := len(h.amounts)
	weeks := (n + hoursPerWeek - 1) / hoursPerWeek
	levels := make([]float64, weeks) // of the week of that age
	relative := make([]float64, n)   // amounts / level at their hour, -1 in a week without use
	for range 2 {                    // the second time weeks that were paused in part are right
		p.weekLevels(h, levels)
		var sum, weight [hoursPerWeek]float64
		fade := 1.0
		for age := range weeks {
			for i := max(n-(age+1)*hoursPerWeek, 0); i < n-age*hoursPerWeek; i++ {
				relative[i] = unknown
				if level := levelOf(levels, n-1-i); level > 0 {
					relative[i] = h.amounts[i] / level
					sum[h.week[i]] += fade * relative[i]
					weight[h.week[i]] += fade * h.active[i]
				}
			}
			fade *= weekFade
		}
		p.fill(&sum, &weight)
	}
	p.shrink(reliability(h, relative))
	p.bend(h, relative)
	return p, p.noise(h, relative)
}

// hourNoise is how far single hours are off the profile.
type hourNoise struct {
	variance float64 // relative to what was expected
	days     float64 // how much of a day's use such an hour has
}

// noise compares each hour with the profile.
func (p *profile) noise(h *history, relative []float64) (n hourNoise) {
	missed, squares, sum := 0.0, 0.0, 0.0
	for i, v := range relative {
		if v == unknown {
			continue
		}
		expected := h.active[i] * p[h.week[i]]
		missed += (v - expected) * (v - expected)
		squares += expected * expected
		sum += expected
	}
	if squares > 0 && sum > 0 {
		n.variance, n.days = missed/squares, squares/sum/hoursPerDay
	}
	return n
}

// unknown is the relative amount in a week without use.
const unknown = -1

// weekLevels sets levels[age] to the amount per unit of the profile, 0 for a
// week without use.
func (p *profile) weekLevels(h *history, levels []float64) {
	n := len(h.amounts)
	for age := range levels {
		sum, weight := 0.0, 0.0
		for i := max(n-(age+1)*hoursPerWeek, 0); i < n-age*hoursPerWeek; i++ {
			sum += h.amounts[i]
			weight += h.active[i] * p[h.week[i]]
		}
		levels[age] = 0
		if sum > 0 && weight > 0 {
			levels[age] = sum / weight
		}
	}
}

// levelOf is the level so many hours before the last one: its week's in the
// middle of the week, and from there on the way to the next week's, so that
// growth within a week is no profile either.
func levelOf(levels []float64, back int) float64 {
	age := back / hoursPerWeek
	off := float64(back%hoursPerWeek)/(hoursPerWeek-1) - 0.5
	level, next := levels[age], age+1
	if off < 0 {
		off, next = -off, age-1
	}
	if level > 0 && next >= 0 && next < len(levels) && levels[next] > 0 {
		level += off * (levels[next] - level)
	}
	return level
}

// fill makes the profile of sums and weights. An hour of the week that was
// never active gets the mean of its hour of the day, else 1.
func (p *profile) fill(sum, weight *[hoursPerWeek]float64) {
	for hour := range hoursPerDay {
		daySum, dayWeight := 0.0, 0.0
		for i := hour; i < hoursPerWeek; i += hoursPerDay {
			daySum += sum[i]
			dayWeight += weight[i]
		}
		for i := hour; i < hoursPerWeek; i += hoursPerDay {
			switch {
			case weight[i] > leastShare:
				p[i] = sum[i] / weight[i]
			case dayWeight > leastShare:
				p[i] = daySum / dayWeight
			default:
				p[i] = 1
			}
		}
	}
	p.normalise()
}

func (p *profile) normalise() {
	total := 0.0
	for _, v := range p {
		total += v
	}
	if !(total > 0) || math.IsInf(total, 0) {
		*p = *flatProfile()
		return
	}
	for i := range p {
		p[i] *= hoursPerWeek / total
	}
}

// reliability is the share of the variance between hours of the week that is
// not explained by the variance within them (the intraclass correlation of
// the cells' means): 1 for a clean profile, 0 for noise.
func reliability(h *history, relative []float64) float64 {
	var count, sum, squares [hoursPerWeek]float64
	for i, v := range relative {
		if h.active[i] > leastShare && v != unknown {
			c := h.week[i]
			count[c]++
			sum[c] += v
			squares[c] += v * v
		}
	}
	cells, all, within, mean := 0.0, 0.0, 0.0, 0.0
	for c := range count {
		if count[c] > 0 {
			cells++
			all += count[c]
			within += squares[c] - sum[c]*sum[c]/count[c]
			mean += sum[c] / count[c]
		}
	}
	if cells < 2 || all <= cells {
		return 0
	}
	mean /= cells
	between := 0.0
	for c := range count {
		if count[c] > 0 {
			d := sum[c]/count[c] - mean
			between += d * d
		}
	}
	between /= cells - 1
	noise := within / (all - cells) * cells / all // variance of a cell's mean
	if !(between > 0) {
		return 0
	}
	return min(max(1-noise/between, 0), 1)
}

// shrink moves the profile towards flat.
func (p *profile) shrink(reliable float64) {
	for i := range p {
		p[i] = 1 + reliable*(p[i]-1)
	}
}

// bend moves use between the hours of a day to where it has been lately, on
// working days and weekends apart; each day keeps its total.
func (p *profile) bend(h *history, relative []float64) {
	var sum, expected [2][hoursPerDay]float64
	n := len(relative)
	fade := math.Exp2(-1.0 / shapeHalfLife)
	weight := 1.0
	for i := n - 1; i >= 0; i-- {
		weight *= fade
		if relative[i] == unknown {
			continue
		}
		c := h.week[i]
		kind := dayKind(c)
		sum[kind][c%hoursPerDay] += weight * relative[i]
		expected[kind][c%hoursPerDay] += weight * h.active[i] * p[c]
	}
	for day := range 7 {
		hours := p[day*hoursPerDay : (day+1)*hoursPerDay]
		before, after := 0.0, 0.0
		kind := dayKind(uint8(day * hoursPerDay))
		for hour, v := range hours {
			before += v
			// Two hours of an average one are in doubt: a shape of few events is none.
			hours[hour] = v * (sum[kind][hour] + bendDoubt) / (expected[kind][hour] + bendDoubt)
			after += hours[hour]
		}
		if after > 0 {
			for hour := range hours {
				hours[hour] *= before / after
			}
		}
	}
	p.normalise()
}

// bendDoubt is how much expected use (in average hours) the recent shape must
// outweigh.
const bendDoubt = 0.5

// dayKind is 0 from Monday to Friday, 1 at the weekend.
func dayKind(week uint8) int {
	if week >= 5*hoursPerDay {
		return 1
	}
	return 0
}
