package forecast_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

// pausedSeries is what is known, so many hours after monday, of eight weeks
// before it and of what came since, without what pauses (hours since monday)
// kept from being used.
func pausedSeries(use func(before int) float64, now float64, pauses ...[2]float64) forecast.Series {
	s := forecast.Series{At: monday + schemas.Millis(now*float64(hour)), Since: monday - 8*week}
	for _, p := range pauses {
		s.Paused = append(s.Paused, forecast.Span{From: monday + schemas.Millis(p[0]*float64(hour)), To: monday + schemas.Millis(p[1]*float64(hour))})
	}
	last := int(math.Ceil(now))
	for h := last - 8*168; h < last; h++ {
		share := min(now-float64(h), 1)
		for _, p := range pauses {
			share -= max(min(p[1], float64(h+1), now)-max(p[0], float64(h)), 0)
		}
		s.Hours = append(s.Hours, use(-h)*max(share, 0))
	}
	return s
}

// TestAPauseDoesNotMoveTheForecast: in every hour of the week after pauses,
// what is expected of the four weeks to come is what it would be without them.
// After a burst the median may differ by more: it leans to what the errors of
// the past were, and a pause leaves fewer of them beside the burst's.
func TestAPauseDoesNotMoveTheForecast(t *testing.T) {
	t.Parallel()
	noise := make([]float64, 40*168)
	random := rand.New(rand.NewPCG(3, 3))
	for i := range noise {
		noise[i] = 0.8 + 0.4*random.Float64()
	}
	uses := map[string]func(before int) float64{
		"flat":         func(int) float64 { return 2 },
		"working week": working,
		"noisy":        func(before int) float64 { return working(before) * noise[before+10*168] },
		"a burst": func(before int) float64 {
			if before == -34 || before == -35 {
				return working(before) + 1500
			}
			return working(before)
		},
	}
	pauses := map[string][][2]float64{
		"3 days":                 {{60, 132}},
		"7 days":                 {{60, 228}},
		"10 days":                {{60, 300}},
		"10 days, to a mid hour": {{60.4, 300.7}},
		"until Thursday":         {{50, 240 + 9}},
		"three":                  {{-400, -300}, {-100, -50}, {60, 150}},
	}
	for name, use := range uses {
		for length, spans := range pauses {
			t.Run(fmt.Sprintf("%s, %s", name, length), func(t *testing.T) {
				median := 0.05
				if name == "a burst" {
					median = 0.10
				}
				resumed := spans[len(spans)-1][1]
				for since := 0.0; since <= 168; since += 1.25 {
					paused, going := pausedSeries(use, resumed+since, spans...), pausedSeries(use, resumed+since)
					until := paused.At + 4*week
					f, without := forecast.Project(&paused, until), forecast.Project(&going, until)
					got, want := f.Curve.At(until), without.Curve.At(until)
					if f.Method != without.Method || math.Abs(got.Mean-want.Mean) > 0.05*want.Mean || math.Abs(got.P50-want.P50) > median*want.P50 {
						t.Errorf("%.2f hours after it: %s %+v, without a pause %s %+v", since, f.Method, got, without.Method, want)
					}
				}
			})
		}
	}
}
