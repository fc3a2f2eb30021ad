package forecast_test

import (
	"math"
	"testing"
	"time"

	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

// TestASampledCurveIsTheCurve at its instants, does not fall between and after
// them, and reaches an amount when it has it.
func TestASampledCurveIsTheCurve(t *testing.T) {
	const hour = schemas.Millis(3_600_000)
	begin := schemas.MillisOf(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC))
	s := forecast.Series{At: begin + hour/3, Since: begin - 56*24*hour}
	for i := range 56*24 + 1 {
		s.Hours = append(s.Hours, 10+5*math.Sin(float64(i)/24*2*math.Pi)+float64(i%7))
	}
	f := forecast.Project(&s, begin+28*24*hour)
	at := []schemas.Millis{s.At}
	for i := schemas.Millis(1); i <= 28; i++ {
		at = append(at, begin+i*24*hour)
	}
	sampled := f.Curve.Sample(at)
	for _, q := range []forecast.Quantile{forecast.Mean, forecast.P10, forecast.P50, forecast.P90} {
		for _, instant := range at {
			if got, want := sampled.Credits(instant, q), q(f.Curve.At(instant)); math.Abs(got-want) > 1e-9*want {
				t.Errorf("%v at %v, want %v", got, instant, want)
			}
		}
		outlook, before := sampled.Along(q), schemas.Total{}
		for instant := s.At; instant < begin+60*24*hour; instant += 5 * hour {
			used := outlook.Used(instant)
			if used.Cmp(before) < 0 {
				t.Fatalf("use falls from %v to %v", before, used)
			}
			before = used
			reached, known := outlook.Reaches(instant, schemas.TotalOf(123_000_000))
			if !known {
				t.Fatal("never reached")
			}
			more := outlook.Used(reached).Sub(used).Float()
			if less := outlook.Used(reached - 1).Sub(used).Float(); more < 123-1e-5 || less > 123+1e-5 {
				t.Fatalf("%v used when 123 are, %v before", more, less)
			}
		}
	}
	ending, last := sampled.Ending(), at[len(at)-1]
	for instant := s.At; instant < begin+60*24*hour; instant += 5 * hour {
		if got, want := ending.Credits(instant, forecast.P90), sampled.Credits(min(instant, last), forecast.P90); math.Abs(got-want) > 1e-9*want {
			t.Errorf("%v at %v of what ends, want %v", got, instant, want)
		}
	}
	if _, known := (&forecast.Sampled{}).Along(forecast.P50).Reaches(begin, schemas.TotalOf(1)); known {
		t.Error("nothing reaches something")
	}
}
