package forecast

import (
	"math"
	"slices"
	"sort"

	"github.com/drawdown/drawdown/schemas"
)

// Sampled is a curve at chosen instants, as it is stored: cumulative use since
// the first of them, linear in between, and at the rate of the last stretch
// after them.
type Sampled struct {
	At      []schemas.Millis // ascending; the first is where nothing has been used yet
	Amounts []Amounts        // at each
}

// Sample takes a curve's figures at instants, ascending, the first its From.
func (c *Curve) Sample(at []schemas.Millis) Sampled {
	s := Sampled{At: at, Amounts: make([]Amounts, len(at))}
	for i, instant := range at {
		s.Amounts[i] = c.At(instant)
	}
	return s
}

// tail is the stretch by which use goes on after the last instant: a week if
// there is one, so that the day of the week does not matter.
func (s *Sampled) tail() (span float64, from, to Amounts) {
	last := len(s.At) - 1
	if last < 1 {
		return 1, Amounts{}, Amounts{}
	}
	i, _ := slices.BinarySearch(s.At, s.At[last]-hoursPerWeek*hourMillis)
	i = min(i, last-1)
	return float64(s.At[last] - s.At[i]), s.Amounts[i], s.Amounts[last]
}

// Credits is what q of the curve says will have been used by an instant.
func (s *Sampled) Credits(instant schemas.Millis, q Quantile) float64 {
	if len(s.At) == 0 || instant <= s.At[0] {
		return 0
	}
	i, _ := slices.BinarySearch(s.At, instant)
	if i == len(s.At) {
		span, from, to := s.tail()
		last := i - 1
		return q(s.Amounts[last]) + (q(to)-q(from))/span*float64(instant-s.At[last])
	}
	low, high := q(s.Amounts[i-1]), q(s.Amounts[i])
	return low + (high-low)*float64(instant-s.At[i-1])/float64(s.At[i]-s.At[i-1])
}

// reaches is the first instant at which q is at least the credits.
func (s *Sampled) reaches(credits float64, q Quantile) (schemas.Millis, bool) {
	i := sort.Search(len(s.At), func(i int) bool { return q(s.Amounts[i]) >= credits })
	switch {
	case len(s.At) == 0:
		return 0, false
	case i == 0:
		return s.At[0], true
	case i == len(s.At):
		span, from, to := s.tail()
		rate := (q(to) - q(from)) / span
		wait := math.Ceil((credits - q(s.Amounts[i-1])) / rate)
		if !(rate > 0) || wait > farFuture {
			return 0, false
		}
		return s.At[i-1] + schemas.Millis(wait), true
	}
	low, high := q(s.Amounts[i-1]), q(s.Amounts[i])
	within := math.Ceil(float64(s.At[i]-s.At[i-1]) * (credits - low) / (high - low))
	return min(s.At[i-1]+schemas.Millis(within), s.At[i]), true
}

// farFuture is where no rate is believed any more: a thousand years, in
// milliseconds.
const farFuture = 1000 * 366 * 24 * 3.6e6

// Ending is the curve of what is over with its last instant: nothing is used
// after it, where others go on as they did.
func (s *Sampled) Ending() Sampled {
	last := len(s.At) - 1
	if last < 0 {
		return *s
	}
	// The rate after the last instant is that of the week before it.
	return Sampled{
		At:      append(slices.Clone(s.At), s.At[last]+hoursPerWeek*hourMillis),
		Amounts: append(slices.Clone(s.Amounts), s.Amounts[last]),
	}
}

// Without is the curve without what some others have of it: its mean is less by
// theirs, its band in proportion.
func (s *Sampled) Without(others []*Sampled) Sampled {
	return s.shaped(func(at schemas.Millis, a Amounts) Amounts {
		mean := a.Mean
		for _, other := range others {
			mean -= other.Credits(at, Mean)
		}
		return scaled(a, max(mean, 0))
	})
}

// Times is the curve of so many times as much.
func (s *Sampled) Times(factor float64) Sampled {
	return s.shaped(func(_ schemas.Millis, a Amounts) Amounts { return scaled(a, a.Mean*factor) })
}

func (s *Sampled) shaped(shape func(schemas.Millis, Amounts) Amounts) Sampled {
	shaped := Sampled{At: s.At, Amounts: make([]Amounts, len(s.At))}
	for i, at := range s.At {
		shaped.Amounts[i] = shape(at, s.Amounts[i])
	}
	rise(shaped.Amounts)
	return shaped
}

// Along is the outlook on usage (balance.Outlook) that q of the curve gives.
func (s *Sampled) Along(q Quantile) Along { return Along{s, q} }

// Along implements balance.Outlook.
type Along struct {
	curve *Sampled
	q     Quantile
}

// Used is what will have been used by an instant.
func (a Along) Used(at schemas.Millis) schemas.Total { return Total(a.curve.Credits(at, a.q)) }

// Reaches is the first instant at which so many credits have been used since
// from.
func (a Along) Reaches(from schemas.Millis, credits schemas.Total) (schemas.Millis, bool) {
	at, known := a.curve.reaches(a.curve.Credits(from, a.q)+credits.Float(), a.q)
	return max(at, from), known
}
