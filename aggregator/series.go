package aggregator

import (
	"math"
	"slices"

	"github.com/drawdown/drawdown/schemas"
)

const (
	minuteMillis schemas.Millis = 60_000
	hourMillis                  = 60 * minuteMillis
	// seriesHours is how far back hours are kept: the eight weeks that forecasts
	// learn from (DESIGN section 8).
	seriesHours = 8 * 7 * 24
	// rereadHours is how far back hours are read again at least; what came later
	// than that has the whole series read.
	rereadHours = 3
	// maxSeries bounds the campaigns of a workspace that are forecast apart, at
	// 11 kB each: twice what is foreseen. What more of them use is forecast with
	// what is unattributed, so that ids made up without end take no memory.
	maxSeries = 10_000
)

// series are gross credits per hour of each campaign of a workspace, for
// the last seriesHours; hours without any are 0.
type series struct {
	from      schemas.Millis // start of the first hour
	campaigns map[string][]float64
	wholeAt   schemas.Millis // watermark of the last whole reading; 0: never
	touched   schemas.Millis // the earliest event counted since the last reading; 0: none
	// together is with how many workspaces at most it is read next; 0: readChunk.
	together int
}

// touch notes that an event was counted.
func (s *series) touch(at schemas.Millis) {
	if s.touched == 0 || at < s.touched {
		s.touched = at
	}
}

// slide makes room for the hour of at and lets go of hours that are too old.
func (s *series) slide(at schemas.Millis) {
	from := at - at%hourMillis - (seriesHours-1)*hourMillis
	switch {
	case s.campaigns == nil:
		s.campaigns, s.from = make(map[string][]float64), from
	case from > s.from:
		gone := int((from - s.from) / hourMillis)
		for id, hours := range s.campaigns {
			copy(hours, hours[min(gone, len(hours)):])
			clear(hours[max(len(hours)-gone, 0):])
			if !slices.ContainsFunc(hours, func(gross float64) bool { return gross != 0 }) {
				delete(s.campaigns, id)
			}
		}
		s.from = from
	}
}

// forget empties the hours from at on, which are to be read.
func (s *series) forget(at schemas.Millis) {
	first := max(int((at-s.from)/hourMillis), 0)
	for _, hours := range s.campaigns {
		clear(hours[min(first, len(hours)):])
	}
}

// add takes hours of a campaign from one on, which are empty so far: as
// hoursQuery writes them.
func (s *series) add(campaignID string, from schemas.Millis, gross string) {
	hours, ok := s.campaigns[campaignID]
	if !ok && len(s.campaigns) >= maxSeries {
		campaignID = ""
		hours, ok = s.campaigns[campaignID]
	}
	if !ok {
		hours = make([]float64, seriesHours)
		s.campaigns[campaignID] = hours
	}
	for at := int((from - s.from) / hourMillis); len(gross) >= doubleBytes && at < len(hours); at++ {
		hours[at] += math.Float64frombits(doubleAt(gross)) / schemas.MicrosPerCredit
		gross = gross[doubleBytes:]
	}
}

// doubleBytes is the size of a Float64.
const doubleBytes = 8

// doubleAt are the bits of the Float64 that text begins with.
func doubleAt(text string) (bits uint64) {
	for i := range doubleBytes {
		bits |= uint64(text[i]) << (8 * i)
	}
	return bits
}

// upTo are the hours of a campaign up to an instant, the last one the hour that
// holds the millisecond before it; nil: there are none.
func (s *series) upTo(campaignID string, at schemas.Millis) []float64 {
	hours := s.campaigns[campaignID]
	last := (at - 1 - s.from) / hourMillis
	if hours == nil || last < 0 {
		return nil
	}
	return hours[:min(int(last)+1, len(hours))]
}

// total is the sum over all campaigns.
func (s *series) total(at schemas.Millis) []float64 {
	var sum []float64
	for id := range s.campaigns {
		hours := s.upTo(id, at)
		if sum == nil {
			sum = make([]float64, len(hours))
		}
		for i, gross := range hours {
			sum[i] += gross
		}
	}
	return sum
}
