package forecast_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

// anySeries draws a series of any shape.
func anySeries(t *rapid.T) forecast.Series {
	n := rapid.IntRange(0, 10*168).Draw(t, "hours")
	seed := rapid.Uint64().Draw(t, "seed")
	kind := rapid.IntRange(0, 5).Draw(t, "kind")
	scale := rapid.SampledFrom([]float64{1e-6, 1, 1e6, 1e30}).Draw(t, "scale")
	zones := []*time.Location{nil, mustZone(t, "America/New_York"), mustZone(t, "Asia/Kathmandu"), mustZone(t, "Pacific/Apia")}
	s := forecast.Series{Zone: rapid.SampledFrom(zones).Draw(t, "zone"), At: monday + schemas.Millis(rapid.Int64Range(0, int64(2*week)).Draw(t, "at"))}
	for i := range n {
		seed = seed*6364136223846793005 + 1442695040888963407
		u := float64(seed>>11) / (1 << 53)
		v := 0.0
		switch kind {
		case 0:
			v = u
		case 1:
			v = working(n-i) * (0.5 + u)
		case 2:
			if u < 0.02 {
				v = math.Exp(20 * u * 50)
			}
		case 3:
			v = math.Exp(float64(i)/50) * u
		case 4:
			v = []float64{math.NaN(), math.Inf(1), -1, math.MaxFloat64, 1, 0}[seed>>32%6]
		}
		s.Hours = append(s.Hours, v*scale)
	}
	for range rapid.IntRange(0, 4).Draw(t, "pauses") {
		from := s.At + schemas.Millis(rapid.Int64Range(-int64(9*week), int64(week)).Draw(t, "from"))
		to := schemas.Millis(0)
		if rapid.Bool().Draw(t, "closed") {
			to = from + schemas.Millis(rapid.Int64Range(-int64(day), int64(2*week)).Draw(t, "length"))
		}
		s.Paused = append(s.Paused, forecast.Span{From: from, To: to})
	}
	if rapid.Bool().Draw(t, "ends") {
		s.EndsAt = s.At + schemas.Millis(rapid.Int64Range(-int64(week), int64(2*week)).Draw(t, "end"))
	}
	if rapid.Bool().Draw(t, "known") {
		s.Since = s.At - schemas.Millis(rapid.Int64Range(-int64(day), int64(12*week)).Draw(t, "since"))
	}
	return s
}

func mustZone(t *rapid.T, name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// checkCurve says whether a curve keeps rule 10.
func checkCurve(t *rapid.T, what string, c forecast.Curve, until schemas.Millis) {
	last := forecast.Amounts{}
	for at := c.From(); at <= until+day; at += 17 * 60_000 {
		a := c.At(at)
		for _, v := range [...]float64{a.Mean, a.P10, a.P50, a.P90} {
			if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
				t.Fatalf("%s at %d: %+v", what, at, a)
			}
		}
		if a.P10 > a.P50 || a.P50 > a.P90 {
			t.Fatalf("%s at %d: quantiles in no order: %+v", what, at, a)
		}
		if a.Mean < last.Mean || a.P10 < last.P10 || a.P50 < last.P50 || a.P90 < last.P90 {
			t.Fatalf("%s falls at %d: %+v after %+v", what, at, a, last)
		}
		last = a
	}
}

func TestAnySeriesHasAFiniteRisingCurve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySeries(t)
		until := s.At + schemas.Millis(rapid.Int64Range(-int64(day), int64(12*week)).Draw(t, "until"))
		f := forecast.Project(&s, until)
		checkCurve(t, string(f.Method), f.Curve, until)
		if f.Method == forecast.InsufficientData && f.Curve.At(until).P90 != 0 {
			t.Fatalf("insufficient data, but %+v", f.Curve.At(until))
		}
		if again := forecast.Project(&s, until); again.Curve.At(until) != f.Curve.At(until) {
			t.Fatal("the same series has two forecasts")
		}
	})
}

func TestPartsAndWhatIsNewAddUpToTheWorkspace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := make([]forecast.Series, rapid.IntRange(0, 5).Draw(t, "parts"))
		for i := range parts {
			parts[i] = anySeries(t)
			parts[i].At = parts[0].At
		}
		until := monday + 6*week
		o := forecast.Workspace(parts, until)
		checkCurve(t, "total", o.Total.Curve, until)
		checkCurve(t, "new", o.New, until)
		for at := o.Total.Curve.From(); at <= until; at += 5*hour + 1234 {
			sum := o.New.At(at).Mean
			for i := range o.Parts {
				sum += o.Parts[i].Curve.At(at).Mean
			}
			if got := o.Total.Curve.At(at).Mean; math.Abs(got-sum) > 1e-9*sum {
				t.Fatalf("at %d: total %v, parts and new %v", at, got, sum)
			}
		}
	})
}
