package forecast_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

const (
	hour = schemas.Millis(3_600_000)
	day  = 24 * hour
	week = 7 * day
)

// monday is 2026-03-02T00:00Z.
const monday = schemas.Millis(1_772_409_600_000)

// hours makes n hours that end at monday, of use by how many hours before it
// they start.
func hours(n int, use func(before int) float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = use(n - i)
	}
	return out
}

// working is 10 an hour from 9 to 17 on working days, 1 otherwise: 528 a week.
func working(before int) float64 {
	at := ((-before)%168 + 168) % 168
	if at < 5*24 && at%24 >= 9 && at%24 < 17 {
		return 10
	}
	return 1
}

const workingWeek = 5*(8*10+16) + 2*24

func eightWeeks(use func(int) float64) *forecast.Series {
	return &forecast.Series{At: monday, Hours: hours(8*168, use)}
}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > within*math.Abs(want)+1e-9 {
		t.Errorf("%s: got %v, want %v within %v %%", what, got, want, 100*within)
	}
}

func TestARepeatingWeekIsForecastExactly(t *testing.T) {
	f := forecast.Project(eightWeeks(working), monday+2*week)
	if f.Method != forecast.Seasonal {
		t.Fatalf("method %s", f.Method)
	}
	sum := 0.0
	for h := range 2 * 168 {
		sum += working(-h)
		a := f.Curve.At(monday + schemas.Millis(h+1)*hour)
		near(t, "mean", a.Mean, sum, 0.02)
		near(t, "p10", a.P10, sum, 0.05)
		near(t, "p90", a.P90, sum, 0.05)
	}
	near(t, "level", f.Level, workingWeek/168.0, 1e-3)
}

func TestTheMethodSaysHowMuchIsKnown(t *testing.T) {
	always := func(int) float64 { return 2 }
	for name, c := range map[string]struct {
		series forecast.Series
		method forecast.Method
		week   float64
	}{
		"no data":                    {forecast.Series{}, forecast.InsufficientData, 0},
		"all zero, age unknown":      {forecast.Series{Hours: make([]float64, 8*168)}, forecast.InsufficientData, 0},
		"all zero for eight weeks":   {forecast.Series{Hours: make([]float64, 8*168), Since: monday - 8*week}, forecast.RunRate, 0},
		"one event":                  {forecast.Series{Hours: hours(8*168, func(b int) float64 { return map[bool]float64{true: 500}[b == 90] })}, forecast.InsufficientData, 0},
		"one event, known for weeks": {forecast.Series{Since: monday - 8*week, Hours: hours(8*168, func(b int) float64 { return map[bool]float64{true: 560}[b == 90] })}, forecast.RunRate, -1},
		"twelve hours":               {forecast.Series{Hours: hours(12, always)}, forecast.InsufficientData, 0},
		"five days":                  {forecast.Series{Hours: hours(5*24, always)}, forecast.RunRate, 336},
		"three weeks":                {forecast.Series{Hours: hours(21*24, always)}, forecast.Seasonal, 336},
		"paused":                     {forecast.Series{Hours: hours(21*24, always), Paused: []forecast.Span{{From: monday - hour}}}, forecast.RunRate, 0},
		"ended":                      {forecast.Series{Hours: hours(21*24, always), EndsAt: monday - day}, forecast.RunRate, 0},
		"nothing, and ended":         {forecast.Series{EndsAt: monday}, forecast.RunRate, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.series.At = monday
			f := forecast.Project(&c.series, monday+week)
			if f.Method != c.method {
				t.Fatalf("method %s, want %s", f.Method, c.method)
			}
			got := f.Curve.At(monday + week)
			switch {
			case c.week < 0: // an event of 560 in eight weeks: some, but no certainty
				if math.Abs(got.Mean-70) > 1 || got.P10 > 0 || got.P50 > 10 || got.P90 < 50 {
					t.Errorf("got %+v", got)
				}
			case c.method == forecast.RunRate && c.week > 0: // doubted, rule 9
				near(t, "week", got.Mean, c.week*12/7*math.Log(19.0/12), 0.02)
			default:
				near(t, "week", got.Mean, c.week, 0.02)
			}
		})
	}
}

func TestPausedTimeIsNotLowDemand(t *testing.T) {
	series := eightWeeks(working)
	want := forecast.Project(series, monday+week).Curve.At(monday + week)
	for _, span := range []forecast.Span{
		{From: monday - 20*day, To: monday - 9*day},
		{From: monday - 3*day, To: monday - 5*hour},
		{From: monday - 50*day - hour/2, To: monday - 30*day + hour/3},
	} {
		paused := *series
		paused.Hours = append([]float64(nil), series.Hours...)
		for i := range paused.Hours {
			if at := monday - schemas.Millis(8*168-i)*hour; at >= span.From-hour && at < span.To {
				active := 1 - float64(min(at+hour, span.To)-max(at, span.From))/float64(hour)
				paused.Hours[i] *= min(active, 1)
			}
		}
		paused.Paused = []forecast.Span{span}
		f := forecast.Project(&paused, monday+week)
		near(t, "a week after a pause", f.Curve.At(monday+week).Mean, want.Mean, 0.02)
		paused.Paused = nil
		if got := forecast.Project(&paused, monday+week).Curve.At(monday + week).Mean; got > 0.97*want.Mean {
			t.Errorf("the same zeros without a pause give %v, as much as %v: the claim above cannot fail", got, want.Mean)
		}
	}
}

func TestNothingIsUsedInPausesToComeNorAfterTheEnd(t *testing.T) {
	series := eightWeeks(working)
	series.Paused = []forecast.Span{{From: monday + day, To: monday + 2*day}, {From: monday + 30*hour, To: monday + 2*day}}
	series.EndsAt = monday + 3*day + 10*hour
	c := forecast.Project(series, monday+week).Curve
	if c.At(monday+day) != c.At(monday+2*day) {
		t.Errorf("use in a pause: %+v, %+v", c.At(monday+day), c.At(monday+2*day))
	}
	if c.At(series.EndsAt) != c.At(monday+week) {
		t.Errorf("use after the end: %+v, %+v", c.At(series.EndsAt), c.At(monday+week))
	}
	near(t, "two days and ten hours", c.At(monday+week).Mean, 2*96+9+10, 0.02)
}

func TestABurstHardlyMovesTheForecast(t *testing.T) {
	want := forecast.Project(eightWeeks(working), monday+week).Curve.At(monday + week)
	for _, before := range []int{5, 30, 200, 1000} {
		series := eightWeeks(working)
		series.Hours[len(series.Hours)-before] += 1000 // a hundred times the largest
		got := forecast.Project(series, monday+week).Curve.At(monday + week)
		near(t, "mean after a burst", got.Mean, want.Mean, 0.05)
		near(t, "p50 after a burst", got.P50, want.P50, 0.05)
	}
}

func TestGrowthIsFollowedAndDamped(t *testing.T) {
	for _, weekly := range []float64{0.9, 0.95, 1.05, 1.1} {
		grown := func(before int) float64 { return working(before) * math.Pow(weekly, float64(-before)/168) }
		f := forecast.Project(eightWeeks(grown), monday+3*week)
		sum, level := 0.0, 0.0
		for h := range 3 * 168 {
			sum += grown(-h)
			level += working(-h)
		}
		got := f.Curve.At(monday + 3*week).Mean
		if followed := (got - level) / (sum - level); followed < 0.3 || followed > 1.2 {
			t.Errorf("x %v a week: %v, of %v to %v that is %v of the way", weekly, got, level, sum, followed)
		}
	}
}

func TestAPartOfAnHourCountsInPart(t *testing.T) {
	for _, minutes := range []schemas.Millis{1, 10, 30, 59} {
		series := eightWeeks(func(int) float64 { return 6 })
		series.At += minutes * 60_000
		series.Hours = append(series.Hours, 6*float64(minutes)/60)
		f := forecast.Project(series, series.At+week)
		near(t, "a week from within an hour", f.Curve.At(series.At+week).Mean, 6*168, 1e-6)
		far := forecast.Project(series, series.At+20*week)
		near(t, "far from within an hour", far.Curve.At(series.At+20*week).Mean, 20*6*168, 1e-6)
		near(t, "the rest of the hour", f.Curve.At(monday+hour).Mean, 6*(1-float64(minutes)/60), 1e-6)
	}
}

func TestAMissingDayMovesLittleAndAStepIsFollowedInAWeek(t *testing.T) {
	for _, before := range []int{2 * 24, 9 * 24, 30 * 24} { // Sunday, Saturday and Saturday mornings
		series := eightWeeks(func(b int) float64 {
			if b <= before+48 && b > before+24 { // the Thursday or Friday before: nothing came in
				return 0
			}
			return working(b)
		})
		near(t, "a day is missing", forecast.Project(series, monday+week).Curve.At(monday+week).Mean, workingWeek, 0.1)
	}
	for _, times := range []float64{0.3, 3} {
		step := eightWeeks(func(b int) float64 {
			if b <= 168 {
				return times * working(b)
			}
			return working(b)
		})
		got := forecast.Project(step, monday+week).Curve.At(monday + week).Mean
		near(t, "the way of the step that is followed", (got/workingWeek-1)/(times-1), 0.95, 0.1)
	}
}

func TestTheWeekIsThatOfTheLocalClock(t *testing.T) {
	for _, c := range []struct {
		zone string
		at   time.Time // Monday 00:00 local, two weeks after the clock changed
	}{
		{"Europe/Berlin", time.Date(2026, 4, 13, 0, 0, 0, 0, time.UTC)},
		{"Europe/Berlin", time.Date(2026, 11, 9, 0, 0, 0, 0, time.UTC)},
		{"America/New_York", time.Date(2026, 3, 23, 0, 0, 0, 0, time.UTC)},
		{"Australia/Lord_Howe", time.Date(2026, 4, 20, 0, 0, 0, 0, time.UTC)}, // by half an hour
		{"Asia/Kathmandu", time.Date(2026, 4, 20, 0, 0, 0, 0, time.UTC)},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		// 100 in the first local hour of work on working days, nothing else.
		use := func(at time.Time) float64 {
			local := at.In(zone)
			if local.Hour() == 9 && local.Weekday() != time.Saturday && local.Weekday() != time.Sunday {
				return 100
			}
			return 0
		}
		at := c.at.Add(-7 * time.Hour)
		series := forecast.Series{At: schemas.Millis(at.UnixMilli()), Zone: zone}
		for h := 8 * 168; h > 0; h-- {
			series.Hours = append(series.Hours, use(at.Add(-time.Duration(h)*time.Hour)))
		}
		f := forecast.Project(&series, series.At+2*week)
		sum := 0.0
		for h := range 2 * 168 {
			sum += use(at.Add(time.Duration(h) * time.Hour))
			if got := f.Curve.At(series.At + schemas.Millis(h+1)*hour).Mean; math.Abs(got-sum) > 0.02*sum+1 {
				t.Fatalf("%s: %v after %d hours, want %v", c.zone, got, h+1, sum)
			}
		}
	}
}

func TestCurvesGoOnForYears(t *testing.T) {
	f := forecast.Project(eightWeeks(working), monday+4*52*week+5*hour)
	for _, weeks := range []schemas.Millis{8, 9, 10, 52, 208} {
		near(t, "weeks", f.Curve.At(monday+weeks*week).Mean, float64(weeks)*workingWeek, 0.02)
	}
	if until := f.Curve.Until(); until < monday+4*52*week+5*hour || until >= monday+4*52*week+5*hour+day {
		t.Errorf("the curve ends at %d", until)
	}
	beyond := forecast.Project(eightWeeks(working), math.MaxInt64)
	if years := (beyond.Curve.Until() - monday) / (365 * day); years != 5 {
		t.Errorf("a curve of %d years", years)
	}
}

func TestReachesIsTheInverseOfAt(t *testing.T) {
	c := forecast.Project(&forecast.Series{At: monday + 1234567, Hours: hours(8*168, working)}, monday+12*week).Curve
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Float64Range(0, 7000).Draw(t, "amount")
		at, ok := c.Reaches(amount, forecast.P50)
		if !ok {
			if c.At(c.Until()).P50 >= amount {
				t.Fatalf("%v is not reached, but %v is", amount, c.At(c.Until()).P50)
			}
			return
		}
		if got := c.At(at).P50; got < amount-1e-6 {
			t.Fatalf("%v is said to be reached at %d, where it is %v", amount, at, got)
		}
		if at > c.From() && c.At(at-1).P50 > amount+1e-6 {
			t.Fatalf("%v was reached a millisecond before %d", amount, at)
		}
	})
}

func TestPausingACampaignTakesItsShareAway(t *testing.T) {
	parts := []forecast.Series{*eightWeeks(working), *eightWeeks(func(int) float64 { return 1 })}
	before := forecast.Workspace(parts, monday+week).Total.Curve.At(monday + week)
	near(t, "both", before.Mean, workingWeek+168, 0.02)
	parts[0].Paused = []forecast.Span{{From: monday}}
	after := forecast.Workspace(parts, monday+week).Total.Curve.At(monday + week)
	near(t, "one of them", after.Mean, 168, 0.02)
}

func TestCampaignsThatFollowEachOtherAreExpectedToGoOn(t *testing.T) {
	// One campaign a week, each for a week, 10 an hour.
	var parts []forecast.Series
	for k := range 8 {
		parts = append(parts, forecast.Series{At: monday, Hours: hours(8*168, func(before int) float64 {
			return map[bool]float64{true: 10}[(before-1)/168 == k]
		}), EndsAt: monday - schemas.Millis(k)*week + day})
	}
	o := forecast.Workspace(parts, monday+2*week)
	// The last one has a day to go; then others.
	near(t, "two weeks", o.Total.Curve.At(monday+2*week).Mean, 2*1680, 0.15)
	if got := o.New.At(monday + 2*week).Mean; got < 1680*1.3 {
		t.Errorf("new campaigns: %v of about %v", got, 1680*13.0/7)
	}
}

func TestTotalRoundsToTheMicroCredit(t *testing.T) {
	for credits, want := range map[float64]string{
		0: "0", 1.5: "1.5", 0.0000014: "0.000001", -2.25: "-2.25", 1e15: "1000000000000000",
		math.NaN(): "0", 1e20: "100000000000000000000",
	} {
		if got := forecast.Total(credits).String(); got != want {
			t.Errorf("%v: got %s, want %s", credits, got, want)
		}
	}
	if got := forecast.Total(math.Inf(1)); got.Sign() <= 0 {
		t.Errorf("infinite: %s", got)
	}
}

func BenchmarkProject(b *testing.B) {
	series := eightWeeks(func(before int) float64 { return working(before) * (1 + 0.3*math.Sin(float64(before*before))) })
	b.ReportAllocs()
	for b.Loop() {
		forecast.Project(series, monday+31*day)
	}
}

func BenchmarkWorkspace(b *testing.B) {
	parts := make([]forecast.Series, 500)
	for i := range parts {
		parts[i] = *eightWeeks(func(before int) float64 { return working(before+i) * (1 + 0.3*math.Sin(float64(before*(before+i)))) })
	}
	b.ReportAllocs()
	for b.Loop() {
		forecast.Workspace(parts, monday+366*day)
	}
}
