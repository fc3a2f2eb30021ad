package forecast

import (
	"math/rand/v2"
	"testing"
)

// Days around a level that stands still, and around one that walks as far in a
// day as a day is off it: the first must be told from the second.
func TestALevelThatStandsStillIsToldFromOneThatMoves(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	still, moving := 0.0, 0.0
	const runs = 200
	stillness := func(step float64) float64 {
		level := 1000.0
		d := &days{count: 56, use: make([]float64, 57), expected: make([]float64, 57)}
		for b := range d.count {
			level += step * random.NormFloat64()
			d.use[b+1] = d.use[b] + level + 10*random.NormFloat64()
			d.expected[b+1] = d.expected[b] + 1
		}
		return d.stillness()
	}
	for range runs {
		still += stillness(0) / runs
		moving += stillness(10) / runs
	}
	if still < 0.85 || moving > 0.01 {
		t.Errorf("still: %.3f, moving: %.3f", still, moving)
	}
	constant := &days{count: 3, use: []float64{0, 1, 2, 3}, expected: []float64{0, 1, 2, 3}}
	if s := constant.stillness(); s != 0 {
		t.Errorf("without an error nothing is known, but %g", s)
	}
}
