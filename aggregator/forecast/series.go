package forecast

import (
	"math"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// Lengths of time in the units used here.
const (
	hourMillis   = schemas.Millis(3_600_000)
	hoursPerDay  = 24
	hoursPerWeek = 168
)

// Span is [From, To). A To of 0 means that it is still open.
type Span struct {
	From, To schemas.Millis
}

// Series is what is known of one campaign, or of a workspace, at an instant.
type Series struct {
	// At is the instant up to which everything is counted (the watermark).
	At schemas.Millis
	// Hours are gross amounts (refunds left out) per hour of UTC, contiguous
	// and zero-filled; the last one is the hour that holds the millisecond
	// before At, counted up to At. So Hours[len-1] starts at
	// floor((At-1) / 1 h). Eight weeks are enough; at most half a year is read.
	// The unit is the caller's, and the forecast has the same; Drawdown passes
	// credits ([schemas.Total.Float]).
	Hours []float64
	// Since is the first instant at which it could be used: the start or the
	// first state of a campaign, or its first event if that is earlier. 0: not
	// known, then it is the first hour with an amount.
	Since schemas.Millis
	// Paused are the spans in which it could not be used, in any order, also
	// those to come. A campaign that is paused now has an open one.
	Paused []Span
	// EndsAt is when it ends; 0: never.
	EndsAt schemas.Millis
	// Zone is whose clock makes days and weeks; nil is UTC.
	Zone *time.Location
}

// history is a Series made ready: amounts and how much of each hour counts.
type history struct {
	amounts []float64 // never negative, NaN or infinite; bursts bounded (rule 4)
	raw     []float64 // the same before bursts were bounded
	active  []float64 // share of the hour in which use was possible, 0 to 1
	week    []uint8   // hour of the week on the local clock

	activeHours float64
	used        float64 // sum of raw
	usedHours   int     // hours with an amount
	knownSince  bool
}

// maxHistory bounds the work: half a year is more than any of the weights
// below can see.
const maxHistory = 26 * hoursPerWeek

// newHistory cuts the series to what counts (rules 1 to 4).
func newHistory(s *Series) *history {
	hours := s.Hours
	start, since := s.hour(0), s.since()
	skipped := max(len(hours)-maxHistory, 0)
	if since > start {
		skipped = min(max(skipped, int((since-start)/hourMillis)), len(hours))
	} else if since == 0 {
		skipped = len(hours)
	}
	hours = hours[skipped:]
	start += hourMillis * schemas.Millis(skipped)
	n := len(hours)
	h := &history{amounts: make([]float64, n), active: make([]float64, n), week: make([]uint8, n), knownSince: s.Since != 0}
	calendar := calendarOf(s.Zone)
	for i, amount := range hours {
		h.amounts[i] = cleaned(amount)
		h.week[i] = calendar.hourOfWeek(start + hourMillis*schemas.Millis(i))
	}
	activeShares(h.active, start, max(since, start), s.At, s.Paused, s.EndsAt)
	for i, share := range h.active {
		if share < leastShare {
			h.active[i], h.amounts[i] = 0, 0
			continue
		}
		h.activeHours += share
		if h.amounts[i] > 0 {
			h.usedHours++
			h.used += h.amounts[i]
		}
	}
	h.raw = h.amounts
	h.amounts = boundBursts(h.amounts, h.usedHours)
	return h
}

// hour is the start of Hours[i].
func (s *Series) hour(i int) schemas.Millis {
	return floorHour(s.At-1) - hourMillis*schemas.Millis(len(s.Hours)-1-i)
}

// since is Since or, where that is not known, the first hour with an amount; 0
// if there is neither.
func (s *Series) since() schemas.Millis {
	if s.Since != 0 {
		return s.Since
	}
	for i, amount := range s.Hours {
		if cleaned(amount) > 0 {
			return s.hour(i)
		}
	}
	return 0
}

// cleaned is an amount that sums and squares can be made of: neither negative
// nor NaN, infinite or beyond any log.
func cleaned(amount float64) float64 {
	if amount > 0 && amount <= math.MaxFloat32 {
		return amount
	}
	return 0
}

// leastShare is the least part of an hour that is believed: three minutes. A
// rate from less is noise.
const leastShare = 0.05

// activeShares fills shares[i] with how much of the hour that starts at
// start + i h lies within [since, until) and outside every paused span.
func activeShares(shares []float64, start, since, until schemas.Millis, paused []Span, endsAt schemas.Millis) {
	if endsAt != 0 {
		until = min(until, endsAt)
	}
	end := start + hourMillis*schemas.Millis(len(shares))
	add := func(from, to schemas.Millis, sign float64) {
		from, to = max(from, start), min(to, end)
		for from < to {
			i := (from - start) / hourMillis
			next := min(start+(i+1)*hourMillis, to)
			shares[i] += sign * float64(next-from) / float64(hourMillis)
			from = next
		}
	}
	add(since, until, 1)
	for _, span := range merged(paused) {
		add(max(span.From, since), min(span.To, until), -1)
	}
	for i := range shares {
		shares[i] = min(max(shares[i], 0), 1)
	}
}

func floorHour(at schemas.Millis) schemas.Millis {
	hour := at / hourMillis
	if at%hourMillis < 0 {
		hour--
	}
	return hour * hourMillis
}
