package main

import (
	"math"
	"time"

	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

// hourlySeries is one series to look back on.
type hourlySeries struct {
	name  string
	start time.Time // of the first hour
	hours []float64
}

func (s *hourlySeries) end() time.Time {
	return s.start.Add(time.Duration(len(s.hours)) * time.Hour)
}

func (s *hourlySeries) index(at time.Time) int { return int(at.Sub(s.start) / time.Hour) }

// since is the first hour with an amount, or the end.
func (s *hourlySeries) since() time.Time {
	for i, amount := range s.hours {
		if amount > 0 {
			return s.start.Add(time.Duration(i) * time.Hour)
		}
	}
	return s.end()
}

// between sums [from, to), whole hours inside the series.
func (s *hourlySeries) between(from, to time.Time) float64 {
	sum := 0.0
	for _, v := range s.hours[s.index(from):s.index(to)] {
		sum += v
	}
	return sum
}

// forecaster makes a cumulative curve from hours that end at an instant. A
// baseline says nothing of quantiles: all of them are its one figure.
type forecaster struct {
	name    string
	project func(hours []float64, at, since time.Time, zone *time.Location, until time.Time) func(time.Time) forecast.Amounts
}

// forecasters are Drawdown's and the simple ones that it must not lose to.
var forecasters = []forecaster{
	{"drawdown", func(hours []float64, at, since time.Time, zone *time.Location, until time.Time) func(time.Time) forecast.Amounts {
		f := forecast.Project(&forecast.Series{At: millis(at), Since: millis(since), Hours: hours, Zone: zone}, millis(until))
		return func(t time.Time) forecast.Amounts { return f.Curve.At(millis(t)) }
	}},
	{"last hour", func(hours []float64, at, _ time.Time, _ *time.Location, _ time.Time) func(time.Time) forecast.Amounts {
		return straight(hours[len(hours)-1], at)
	}},
	{"last week again", func(hours []float64, at, _ time.Time, _ *time.Location, _ time.Time) func(time.Time) forecast.Amounts {
		week := hours[max(len(hours)-7*24, 0):]
		upTo := make([]float64, len(week)+1)
		for i, v := range week {
			upTo[i+1] = upTo[i] + v
		}
		return func(t time.Time) forecast.Amounts {
			n := int(t.Sub(at) / time.Hour)
			return one(float64(n/len(week))*upTo[len(week)] + upTo[n%len(week)])
		}
	}},
	{"run rate", func(hours []float64, at, _ time.Time, _ *time.Location, _ time.Time) func(time.Time) forecast.Amounts {
		return straight(mean(hours), at)
	}},
	{"mean of 7 days", func(hours []float64, at, _ time.Time, _ *time.Location, _ time.Time) func(time.Time) forecast.Amounts {
		return straight(mean(hours[max(len(hours)-7*24, 0):]), at)
	}},
}

func millis(at time.Time) schemas.Millis { return schemas.Millis(at.UnixMilli()) }

func one(v float64) forecast.Amounts { return forecast.Amounts{Mean: v, P10: v, P50: v, P90: v} }

func straight(perHour float64, at time.Time) func(time.Time) forecast.Amounts {
	return func(t time.Time) forecast.Amounts { return one(perHour * t.Sub(at).Hours()) }
}

func mean(hours []float64) float64 {
	sum := 0.0
	for _, v := range hours {
		sum += v
	}
	return sum / float64(len(hours))
}

// backtest says from where a series is looked at, and how.
type backtest struct {
	zone    *time.Location
	history time.Duration // given to a forecaster
	every   time.Duration // between origins
	from    time.Time     // first origin not before; zero: as early as there is history
	until   time.Time     // no outcome after; zero: the end of the series
}

// score is how a forecaster did on a series.
type score struct {
	origins           int
	hourly            deviation // single hours of seven days
	day, week, period deviation // cumulated amounts; the period is a calendar month
	hourlyBand        coverage  // cumulated up to each hour of seven days
	firstBand         coverage  // after six hours
	dayBand, weekBand coverage
	periodBand        coverage
	middle            deviation // what is used by the end of a month, told in its middle
	months            int
}

// cumulatedNames go with cumulated.
var cumulatedNames = [...]string{"1 day", "7 days", "the end of the month"}

func (s *score) cumulated() [len(cumulatedNames)]deviation {
	return [...]deviation{s.day, s.week, s.period}
}

// deviation adds up forecasts against outcomes.
type deviation struct {
	missed, bias, pinball, actual float64

	block  int       // that add counts to
	blocks []float64 // missed in each block of time
}

func (d *deviation) add(a forecast.Amounts, actual float64) {
	d.missed += math.Abs(a.P50 - actual)
	d.bias += a.Mean - actual
	d.pinball += (pinball(0.1, a.P10, actual) + pinball(0.5, a.P50, actual) + pinball(0.9, a.P90, actual)) / 3
	d.actual += math.Abs(actual)
	for len(d.blocks) <= d.block {
		d.blocks = append(d.blocks, 0)
	}
	d.blocks[d.block] += math.Abs(a.P50 - actual)
}

func pinball(q, forecast, actual float64) float64 {
	if actual >= forecast {
		return q * (actual - forecast)
	}
	return (1 - q) * (forecast - actual)
}

func (d *deviation) wape() float64 { return d.missed / d.actual }

// blockTime is how far origins lie apart that tell of different outcomes, for
// the most part.
const blockTime = 30 * 24 * time.Hour

// against is the ratio of two WAPEs of the same outcomes and its standard
// error: a jackknife that leaves out a block of time at a time.
func (d *deviation) against(other *deviation) (ratio, deviates float64) {
	ratio = d.missed / other.missed
	sum, squares, n := 0.0, 0.0, 0.0
	for i := range d.blocks {
		without := (d.missed - d.blocks[i]) / (other.missed - other.blocks[i])
		sum += without
		squares += without * without
		n++
	}
	return ratio, math.Sqrt(max(squares-sum*sum/n, 0) * (n - 1) / n)
}

// coverage counts outcomes within a band.
type coverage struct{ below, within, above int }

func (c *coverage) add(a forecast.Amounts, actual float64) {
	const rounding = 1e-9 // of cumulated floats
	switch slack := rounding * actual; {
	case actual < a.P10-slack:
		c.below++
	case actual > a.P90+slack:
		c.above++
	default:
		c.within++
	}
}

func (c *coverage) share() float64 {
	return float64(c.within) / float64(c.below+c.within+c.above)
}

// outcomes is how long after an origin the outcome must be known.
const outcomes = 7 * 24 * time.Hour

// span is the first origin and the end of the last outcome.
func (b *backtest) span(s *hourlySeries) (first, end time.Time) {
	end = s.end()
	if !b.until.IsZero() && b.until.Before(end) {
		end = b.until
	}
	first = s.start.Add(b.history)
	if first.Before(b.from) {
		first = b.from
	}
	return mondayOnOrAfter(first, b.zone), end
}

// origins is how many there are.
func (b *backtest) origins(s *hourlySeries) int {
	first, end := b.span(s)
	return max(int((end.Sub(first)-outcomes)/b.every)+1, 0)
}

// run looks back from every origin, and calls each after it.
func (b *backtest) run(s *hourlySeries, f *forecaster, each func()) *score {
	out := &score{}
	first, end := b.span(s)
	for i := range b.origins(s) {
		at := first.Add(time.Duration(i) * b.every)
		periodEnd := endOfMonth(at, b.zone)
		curve := f.project(b.before(s, at), at, s.since(), b.zone, later(at.Add(outcomes), periodEnd))
		out.origins++
		block := int(at.Sub(first) / blockTime)
		out.day.block, out.week.block, out.period.block = block, block, block
		out.addHours(s, at, curve)
		// A day's use to the end of the month is what 1 day says already.
		if !periodEnd.After(end) && periodEnd.Sub(at) >= 24*time.Hour {
			actual, a := s.between(at, periodEnd), curve(periodEnd)
			out.period.add(a, actual)
			out.periodBand.add(a, actual)
		}
		each()
	}
	b.middles(s, f, first, end, out)
	return out
}

// before is what a forecaster is given at an instant.
func (b *backtest) before(s *hourlySeries, at time.Time) []float64 {
	return s.hours[s.index(at.Add(-b.history)):s.index(at)]
}

// addHours compares the hours of the week that follows.
func (s *score) addHours(series *hourlySeries, at time.Time, curve func(time.Time) forecast.Amounts) {
	actual, before, forecastBefore := 0.0, 0.0, 0.0
	for h := 1; h <= 7*24; h++ {
		t := at.Add(time.Duration(h) * time.Hour)
		a := curve(t)
		actual += series.hours[series.index(t)-1]
		s.hourly.add(one(a.Mean-forecastBefore), actual-before)
		s.hourlyBand.add(a, actual)
		before, forecastBefore = actual, a.Mean
		switch h {
		case 6:
			s.firstBand.add(a, actual)
		case 24:
			s.day.add(a, actual)
			s.dayBand.add(a, actual)
		case 7 * 24:
			s.week.add(a, actual)
			s.weekBand.add(a, actual)
		}
	}
}

// middles asks in the middle of each calendar month what will be used by its
// end.
func (b *backtest) middles(s *hourlySeries, f *forecaster, first, end time.Time, out *score) {
	for start := endOfMonth(first, b.zone); ; start = endOfMonth(start, b.zone) {
		stop := endOfMonth(start, b.zone)
		if stop.After(end) {
			return
		}
		at := start.Add(stop.Sub(start) / 2).Truncate(time.Hour)
		curve := f.project(b.before(s, at), at, s.since(), b.zone, stop)
		used, total := s.between(start, at), s.between(start, stop)
		rest := curve(stop)
		out.middle.add(forecast.Amounts{Mean: used + rest.Mean, P10: used + rest.P10, P50: used + rest.P50, P90: used + rest.P90}, total)
		out.months++
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func endOfMonth(at time.Time, zone *time.Location) time.Time {
	local := at.In(zone)
	return time.Date(local.Year(), local.Month()+1, 1, 0, 0, 0, 0, zone)
}

func mondayOnOrAfter(at time.Time, zone *time.Location) time.Time {
	local := at.In(zone)
	days := (8 - int(local.Weekday())) % 7
	monday := time.Date(local.Year(), local.Month(), local.Day()+days, 0, 0, 0, 0, zone)
	if monday.Before(at) {
		monday = monday.AddDate(0, 0, 7)
	}
	return monday
}
