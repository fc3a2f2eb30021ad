package forecast

import (
	"math"
	"sort"

	"github.com/drawdown/drawdown/schemas"
)

// Amounts are what will have been used since a forecast's instant.
type Amounts struct {
	// Mean is the expected amount; means of parts add up to the mean of a sum.
	Mean float64
	// P10, P50, P90: with a chance of 10, 50, 90 % no more than this is used.
	P10, P50, P90 float64
}

// rise raises figures that would fall (rule 10).
func (a *Amounts) rise(before *Amounts) {
	a.Mean = max(a.Mean, before.Mean)
	a.P10 = max(a.P10, before.P10)
	a.P50 = max(a.P50, before.P50, a.P10)
	a.P90 = max(a.P90, before.P90, a.P50)
}

// Curve is cumulative use from an instant on. No figure of it ever falls from
// one instant to a later one, and P10 <= P50 <= P90 at each. The zero Curve
// is one on which nothing is ever used.
type Curve struct {
	at    schemas.Millis
	knots []Amounts // knots[0] at `at`, then at hoursAt after its hour's start
}

// hourlyKnots is how many hours of a curve have a knot each; after nine weeks,
// which is further than a month's end or what was looked back on, one a day
// keeps the curves of a workspace's campaigns small.
const hourlyKnots = 9 * hoursPerWeek

// hoursAt is how many hours after the full hour before From a knot is.
func hoursAt(knot int) int {
	if knot <= hourlyKnots {
		return knot
	}
	return hourlyKnots + (knot-hourlyKnots)*hoursPerDay
}

// knotBefore is the last knot that is at most so many hours after the full hour
// before From.
func knotBefore(hours int) int {
	if hours <= hourlyKnots {
		return hours
	}
	return hourlyKnots + (hours-hourlyKnots)/hoursPerDay
}

// knotsFor is how many knots it takes to come so many hours far.
func knotsFor(hours int) int {
	knot := knotBefore(hours)
	if hoursAt(knot) < hours {
		knot++
	}
	return knot + 1
}

// From is the instant at which nothing has been used yet.
func (c Curve) From() schemas.Millis { return c.at }

// Until is where the curve ends, at or less than a day after the instant that
// it was made for; after it, it is flat.
func (c Curve) Until() schemas.Millis {
	if len(c.knots) == 0 {
		return c.at
	}
	return c.instant(len(c.knots) - 1)
}

func (c Curve) instant(knot int) schemas.Millis {
	if knot == 0 {
		return c.at
	}
	return floorHour(c.at) + hourMillis*schemas.Millis(hoursAt(knot))
}

// At is what will have been used by an instant, linear within an hour, also one
// in which a pause begins or the series ends (more
// than nine weeks ahead within a day); zero up to From.
func (c Curve) At(instant schemas.Millis) Amounts {
	if len(c.knots) == 0 || instant <= c.at {
		return Amounts{}
	}
	knot := knotBefore(int((floorHour(instant) - floorHour(c.at)) / hourMillis))
	if knot >= len(c.knots)-1 {
		return c.knots[len(c.knots)-1]
	}
	from := c.instant(knot)
	share := float64(instant-from) / float64(c.instant(knot+1)-from)
	a, b := c.knots[knot], c.knots[knot+1]
	mix := func(x, y float64) float64 { return x + share*(y-x) }
	return Amounts{mix(a.Mean, b.Mean), mix(a.P10, b.P10), mix(a.P50, b.P50), mix(a.P90, b.P90)}
}

// Quantile chooses one of the figures of Amounts.
type Quantile func(Amounts) float64

// The figures that can be asked for by name.
var (
	Mean Quantile = func(a Amounts) float64 { return a.Mean }
	P10  Quantile = func(a Amounts) float64 { return a.P10 }
	P50  Quantile = func(a Amounts) float64 { return a.P50 }
	P90  Quantile = func(a Amounts) float64 { return a.P90 }
)

// Reaches is the first instant at which q is at least the amount, rounded up
// to the millisecond; false if it is not by Until. An amount of 0 or less is
// reached at From. The 10 % earliest cases are on the curve of P90.
func (c Curve) Reaches(amount float64, q Quantile) (schemas.Millis, bool) {
	if amount <= 0 {
		return c.at, true
	}
	knot := sort.Search(len(c.knots), func(i int) bool { return q(c.knots[i]) >= amount })
	if knot == len(c.knots) || knot == 0 {
		return 0, false
	}
	from, to := c.instant(knot-1), c.instant(knot)
	low, high := q(c.knots[knot-1]), q(c.knots[knot])
	within := math.Ceil(float64(to-from) * (amount - low) / (high - low))
	return min(from+schemas.Millis(within), to), true
}
