package forecast

import "math"

// days are the history in blocks of 24 hours that end at At, oldest first.
type days struct {
	use      []float64 // amounts, bursts bounded
	raw      []float64 // amounts
	expected []float64 // sum of active hours x profile, in days: about 1 if active throughout
}

func newDays(h *history, p *profile) *days {
	n := len(h.amounts)
	count := (n + hoursPerDay - 1) / hoursPerDay
	d := &days{use: make([]float64, count), raw: make([]float64, count), expected: make([]float64, count)}
	for i := range n {
		b := count - 1 - (n-1-i)/hoursPerDay
		d.use[b] += h.amounts[i]
		d.raw[b] += h.raw[i]
		d.expected[b] += h.active[i] * p[h.week[i]] / hoursPerDay
	}
	return d
}

// halfLives are in days: how fast each candidate for the level forgets (rule
// 6). The last one is the mean of everything.
var halfLives = [...]float64{2, 4, 8, 16, math.Inf(1)}

const candidates = len(halfLives)

// levels are the candidates after each day: amount per unit of expected.
func (d *days) levels() [][candidates]float64 {
	out := make([][candidates]float64, len(d.use))
	use, expected := 0.0, 0.0
	var sum, weight, fade [candidates]float64
	for c, halfLife := range halfLives {
		fade[c] = math.Exp2(-1 / halfLife)
	}
	for b := range d.use {
		use += d.use[b]
		expected += d.expected[b]
		mean := 0.0
		if expected > 0 {
			mean = use / expected
		}
		for c := range fade {
			sum[c] = sum[c]*fade[c] + d.use[b]
			weight[c] = weight[c]*fade[c] + d.expected[b]
			out[b][c] = (sum[c] + mean*levelDoubt) / (weight[c] + levelDoubt)
		}
	}
	return out
}
