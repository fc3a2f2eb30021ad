package forecast

import (
	"cmp"
	"math"
	"slices"

	"github.com/drawdown/drawdown/schemas"
)

// merged returns the spans in order, without overlaps, open ends closed at
// the end of time.
func merged(spans []Span) []Span {
	if len(spans) == 0 {
		return nil
	}
	sorted := make([]Span, 0, len(spans))
	for _, s := range spans {
		if s.To == 0 {
			s.To = math.MaxInt64
		}
		if s.From < s.To {
			sorted = append(sorted, s)
		}
	}
	slices.SortFunc(sorted, func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	out := sorted[:0]
	for _, s := range sorted {
		if last := len(out) - 1; last >= 0 && s.From <= out[last].To {
			out[last].To = max(out[last].To, s.To)
			continue
		}
		out = append(out, s)
	}
	return out
}

// canStillBeUsed says whether any of [at, until) is active.
func canStillBeUsed(at, until schemas.Millis, paused []Span, endsAt schemas.Millis) bool {
	if endsAt != 0 {
		until = min(until, endsAt)
	}
	for _, s := range merged(paused) {
		if s.From <= at && at < s.To {
			at = s.To
		}
	}
	return at < until
}
