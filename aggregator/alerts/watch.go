package alerts

import "github.com/drawdown/drawdown/schemas"

// StaleAfter is how long a watermark may stand still, in milliseconds (DESIGN
// section 8): many times the seconds that a rebalance takes.
const StaleAfter schemas.Millis = 60_000

// Watch knows since when a watermark stands still, by the clock of whoever
// looks (rule 11). The zero Watch has seen nothing.
type Watch struct {
	Watermark schemas.Millis
	// MovedAt is when the watermark was seen to move, or, until it was, when
	// it was first seen.
	MovedAt schemas.Millis
	seen    bool
	moved   bool
}

// See returns the watch after a look at a watermark. One that is behind the
// last is that of somebody who is behind, and does not count.
func (w Watch) See(watermark, now schemas.Millis) Watch {
	switch {
	case !w.seen:
		return Watch{Watermark: watermark, MovedAt: now, seen: true}
	case watermark > w.Watermark:
		return Watch{Watermark: watermark, MovedAt: now, seen: true, moved: true}
	}
	return w
}

// Stale says whether rules are not to be evaluated.
func (w Watch) Stale(now schemas.Millis) bool { return w.seen && now-w.MovedAt >= StaleAfter }

// Finding is what a rule of kind freshness says: the only one that is judged by
// the clock, because what it watches is that nothing else can be. The name is
// the workspace's, for the message.
func (w Watch) Finding(rule *schemas.AlertRule, name string, now schemas.Millis) Finding {
	f := Finding{
		At: now, Unit: InSeconds, Threshold: float64(StaleAfter) / 1000, Value: float64(now-w.MovedAt) / 1000,
		rule: rule, figures: &Figures{At: w.Watermark, Name: name},
	}
	switch {
	case w.Stale(now):
		f.Met = true
	case w.moved:
		f.Cleared = true
	default:
		// Nobody knows for how long it stood still before.
		f.Unknown = NotMoved
	}
	return f
}
