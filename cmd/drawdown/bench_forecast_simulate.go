package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// simulatedSeries are two years each of use that is hard to forecast; the same
// ones every time.
func simulatedSeries() []*hourlySeries {
	random := rand.New(rand.NewPCG(20260302, 1))
	logNormal := func(sigma float64) float64 { return math.Exp(sigma * random.NormFloat64()) }
	draw := func(name string, amount func(hour int) float64) *hourlySeries {
		s := &hourlySeries{name: name, start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), hours: make([]float64, 731*24)} // a Monday
		for h := range s.hours {
			s.hours[h] = amount(h)
		}
		return s
	}
	working := func(hour int) bool { return hour/24%7 < 5 && hour%24 >= 9 && hour%24 < 17 }
	batchAt := 0
	return []*hourlySeries{
		// An event in one hour of twenty, of any size.
		draw("simulated: rare", func(int) float64 {
			if random.Float64() < 0.05 {
				return 100 * logNormal(1.5)
			}
			return 0
		}),
		// Working hours, and in one hour of a hundred thirty times as much.
		draw("simulated: bursts", func(hour int) float64 {
			base := 1.0
			if working(hour) {
				base = 10
			}
			if random.Float64() < 0.01 {
				base *= 30
			}
			return base * logNormal(0.3)
		}),
		// A batch on two working days of three, at some hour, for all leads that
		// have come together.
		draw("simulated: batches", func(hour int) float64 {
			if hour%24 == 0 {
				batchAt = 6 + random.IntN(14)
				if hour/24%7 >= 5 || random.Float64() < 1.0/3 {
					batchAt = -1
				}
			}
			if hour%24 == batchAt {
				return 500 * logNormal(1)
			}
			return 0
		}),
		// Working hours, three per cent more each week.
		draw("simulated: growth", func(hour int) float64 {
			base := math.Pow(1.03, float64(hour)/(7*24)) * logNormal(0.3)
			if working(hour) {
				base *= 10
			}
			return base
		}),
	}
}
