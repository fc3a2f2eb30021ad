package alerts

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// Unknown says why a condition can be judged neither way.
type Unknown string

// The reasons.
const (
	NoGrant    Unknown = "no_grant"    // the workspace was never given credits
	NoCredits  Unknown = "no_credits"  // none are left, so no rate lasts
	NoForecast Unknown = "no_forecast" // too young or too sparse
	NoUsage    Unknown = "no_usage"    // usage over the window is not known
	NoCampaign Unknown = "no_campaign" // nobody has named the campaign
	NotMoved   Unknown = "not_moved"   // freshness: the watermark was not yet seen to move, nor long enough not to
)

// Unit is what a finding is measured in.
type Unit string

// The units.
const (
	InCredits Unit = "credits"
	InDays    Unit = "days"
	InPercent Unit = "percent" // of the quota
	InTimes   Unit = "times"   // what is sustainable
	InSeconds Unit = "seconds"
)

// Finding is what a rule says of one subject at one instant. Of Met, Cleared
// and Unknown at most one holds: between the threshold and what hysteresis
// asks for none does.
type Finding struct {
	Subject string         // the campaign; empty: the workspace
	At      schemas.Millis // of the figures
	Met     bool           // the condition holds
	Cleared bool           // it is over, past hysteresis
	Unknown Unknown        // why it is neither; empty: it is known
	Unit    Unit
	// Value is compared with Threshold. They are for people and charts: what
	// was judged is exact.
	Value, Threshold float64

	rule     *schemas.AlertRule
	figures  *Figures
	campaign *Campaign
	pair     schemas.BurnWindow // of a burn rate, the one nearest to firing
}

// Evaluate returns what a rule says of each of its subjects, in the order of
// the figures: nothing if it is disabled or deleted, or of kind freshness (see
// Watch). The findings refer to rule and figures until they are told.
func Evaluate(rule *schemas.AlertRule, figures *Figures) []Finding {
	return evaluate(nil, rule, figures)
}

// evaluate appends to dst what Evaluate returns.
func evaluate(dst []Finding, rule *schemas.AlertRule, f *Figures) []Finding {
	if !rule.Live() {
		return dst
	}
	finding := Finding{At: f.At, rule: rule, figures: f}
	switch rule.Kind {
	case schemas.BalanceBelow:
		finding.balanceBelow()
	case schemas.RunwayBelow:
		finding.runwayBelow()
	case schemas.ExpiringUnused:
		finding.expiringUnused()
	case schemas.BurnRate:
		finding.burnRate()
	case schemas.BurnSpike:
		finding.burnSpike()
	case schemas.QuotaUsed, schemas.QuotaProjected:
		return finding.quotas(dst)
	default:
		return dst
	}
	return append(dst, finding)
}

// allOf is 100 % in hundredths of a percent.
const allOf = 100_00

// above and below are a threshold moved by the rule's hysteresis, rounded down:
// an amount is above (or at most) a number iff it is above (at most) its floor.
func (f *Finding) above(t schemas.Total) schemas.Total {
	return t.MulDiv(allOf+uint64(f.rule.Params.Hysteresis), allOf)
}

func (f *Finding) below(t schemas.Total) schemas.Total {
	return t.MulDiv(allOf-uint64(f.rule.Params.Hysteresis), allOf)
}

// share is what hysteresis leaves of a threshold above which the condition
// holds.
func (f *Finding) share() float64 { return 1 - float64(f.rule.Params.Hysteresis)/allOf }

// least is the amount that credits or percent say (of what is allocated).
func (f *Finding) least() schemas.Total {
	if p := &f.rule.Params; !p.HasCredits {
		return f.figures.Allocated.MulDiv(uint64(p.Percent), allOf)
	}
	return f.rule.Params.Credits.Total()
}

// balanceBelow is rule 4.
func (f *Finding) balanceBelow() {
	f.Unit = InCredits
	if !f.figures.Granted {
		f.Unknown = NoGrant
		return
	}
	threshold, remaining := f.least(), f.figures.Remaining
	f.Value, f.Threshold = remaining.Float(), threshold.Float()
	f.Met = remaining.Cmp(threshold) <= 0
	f.Cleared = remaining.Cmp(f.above(threshold)) > 0
}

// Milliseconds.
const (
	hundredthOfADay = 24 * 60 * 60 * 10
	aDay            = 100 * hundredthOfADay
)

// runwayBelow is rule 5.
func (f *Finding) runwayBelow() {
	f.Unit = InDays
	limit := schemas.Millis(f.rule.Params.Days) * hundredthOfADay
	f.Threshold = float64(limit) / aDay
	exhaustsAt := f.figures.Runway.ExhaustsAt
	switch runway := f.figures.Runway; {
	case !f.figures.Granted:
		f.Unknown = NoGrant
		return
	case f.figures.Remaining.Sign() <= 0:
		exhaustsAt = f.At
	case runway.Never:
		f.Cleared = true
		return
	case !runway.Known():
		f.Unknown = NoForecast
		return
	}
	left := max(exhaustsAt-f.At, 0)
	f.Value = float64(left) / aDay
	f.Met = left <= limit
	f.Cleared = left > limit+limit*schemas.Millis(f.rule.Params.Hysteresis)/allOf
}

// expiringUnused is rule 6.
func (f *Finding) expiringUnused() {
	f.Unit = InCredits
	if !f.figures.Granted {
		f.Unknown = NoGrant
		return
	}
	unused := 0.0
	for _, e := range f.figures.Expiries {
		if !f.within(e) {
			continue
		}
		if !known(e.Method) {
			f.Unknown = NoForecast
			return
		}
		unused += max(e.Unused, 0)
	}
	least := f.least().Float()
	f.Value, f.Threshold = unused, least
	f.Met = unused > 0 && unused >= least
	f.Cleared = unused <= 0 || unused < least*f.share()
}

// within says whether an expiry is in the days that the rule looks ahead.
func (f *Finding) within(e Expiry) bool {
	return e.At > f.At && e.At <= f.At+schemas.Millis(f.rule.Params.Days)*hundredthOfADay
}

// scaledFrom is the length of the budget whose shares DefaultBurnWindows are.
const scaledFrom = 30 * aDay

// burnRate is rule 7.
func (f *Finding) burnRate() {
	f.Unit = InTimes
	left, remaining := f.figures.ExpiresAt-f.At, f.figures.Remaining
	switch {
	case !f.figures.Granted:
		f.Unknown = NoGrant
		return
	case remaining.Sign() <= 0:
		f.Unknown = NoCredits
		return
	case f.figures.ExpiresAt == schemas.NoInstant || left <= 0:
		// Nothing that must last until then.
		f.Cleared = true
		return
	}
	f.Cleared = true
	var missing bool
	nearest := -1.0
	for _, pair := range burnWindows(&f.rule.Params) {
		if schemas.Millis(pair.Long.Milliseconds()) > left {
			continue
		}
		longUsed, longKnown := f.figures.Gross(pair.Long)
		shortUsed, shortKnown := f.figures.Gross(pair.Short)
		if !longKnown || !shortKnown {
			missing = true
			continue
		}
		faster := func(share uint64) bool {
			return longUsed.Cmp(f.lasting(pair.Long, pair.Factor, share)) > 0 &&
				shortUsed.Cmp(f.lasting(pair.Short, pair.Factor, share)) > 0
		}
		f.Met = f.Met || faster(allOf)
		f.Cleared = f.Cleared && !faster(allOf-uint64(f.rule.Params.Hysteresis))

		longTimes, shortTimes := f.times(pair.Long, longUsed), f.times(pair.Short, shortUsed)
		factor := f.factor(pair.Factor)
		if near := min(longTimes, shortTimes) / factor; near > nearest {
			nearest, f.pair = near, pair
			f.Value, f.Threshold = min(longTimes, shortTimes), factor
		}
	}
	if missing && !f.Met {
		f.Cleared, f.Unknown = false, NoUsage
	}
}

// lasting returns how much a window may use at factor times the rate that lasts
// until the expiry, or a share of it in hundredths of a percent, rounded down.
func (f *Finding) lasting(window time.Duration, factor schemas.Hundredths, share uint64) schemas.Total {
	left, length := uint64(f.figures.ExpiresAt-f.At), uint64(window.Milliseconds())
	if f.rule.Params.Windows == nil {
		if uint64(factor)*left > 100*scaledFrom {
			// factor x left / 30 days: left drops out.
			left = scaledFrom
		} else {
			factor = 1_00
		}
	}
	// At most 10^5 x 2.6 x 10^9 x 10^4 by 10^2 x 10^4 x 2.4 x 10^12 (factor,
	// window, 75 years): both fit 64 bits.
	return f.figures.Remaining.MulDiv(uint64(factor)*length*share, 100*left*allOf)
}

// factor is the factor of a pair as it is judged.
func (f *Finding) factor(factor schemas.Hundredths) float64 {
	plain := float64(factor) / 100
	if f.rule.Params.Windows != nil {
		return plain
	}
	return max(plain*float64(f.figures.ExpiresAt-f.At)/scaledFrom, 1)
}

// times is what was used over a window in multiples of what is sustainable.
func (f *Finding) times(window time.Duration, used schemas.Total) float64 {
	left := float64(f.figures.ExpiresAt - f.At)
	return used.Float() / float64(window.Milliseconds()) * left / f.figures.Remaining.Float()
}

// burnSpike is rule 10.
func (f *Finding) burnSpike() {
	f.Unit = InCredits
	window := f.rule.Params.Window
	used, known := f.figures.Gross(window)
	if !known {
		f.Unknown = NoUsage
		return
	}
	expected, known := f.figures.Expected(f.At-schemas.Millis(window.Milliseconds()), f.At)
	if !known || math.IsNaN(expected) {
		f.Unknown = NoForecast
		return
	}
	usual := float64(f.rule.Params.Factor) / 100 * max(expected, 0)
	least := f.least()
	f.Value, f.Threshold = used.Float(), max(usual, least.Float())
	f.Met = f.Value > usual && used.Cmp(least) >= 0 && used.Sign() > 0
	f.Cleared = f.Value <= usual*f.share() || used.Cmp(f.below(least)) < 0 || used.Sign() <= 0
}

// quotas appends a finding for each campaign with a quota, or for the one that
// the rule names.
func (f *Finding) quotas(dst []Finding) []Finding {
	f.Unit = InPercent
	f.Threshold = float64(f.rule.Params.Percent) / 100
	id := f.rule.Params.CampaignID
	if id == "" {
		for i := range f.figures.Campaigns {
			if f.figures.Campaigns[i].HasQuota {
				dst = append(dst, f.quota(&f.figures.Campaigns[i]))
			}
		}
		return dst
	}
	i, found := slices.BinarySearchFunc(f.figures.Campaigns, id, func(c Campaign, id string) int { return cmp.Compare(c.ID, id) })
	if !found {
		missing := *f
		missing.Subject, missing.Unknown = id, NoCampaign
		return append(dst, missing)
	}
	return append(dst, f.quota(&f.figures.Campaigns[i]))
}

// quota is rules 8 and 9.
func (f Finding) quota(c *Campaign) Finding {
	f.Subject, f.campaign = c.ID, c
	if !c.HasQuota || c.Status == completed || c.Status == draft {
		f.Cleared = true
		return f
	}
	threshold := f.thresholdOf(c)
	f.Value = percentOf(c.Used.Float(), c.Quota)
	f.Met = c.Used.Sign() > 0 && c.Used.Cmp(threshold) >= 0
	f.Cleared = c.Used.Sign() <= 0 || c.Used.Cmp(f.below(threshold)) < 0
	if f.rule.Kind == schemas.QuotaUsed {
		return f
	}
	switch {
	case f.Met: // whatever is forecast, it has been used
	case !known(c.Method) || math.IsNaN(c.Projected):
		f.Cleared, f.Unknown = false, NoForecast
	default:
		f.Value = percentOf(c.Projected, c.Quota)
		limit := threshold.Float()
		f.Met = c.Projected > 0 && c.Projected >= limit
		f.Cleared = c.Projected <= 0 || c.Projected < limit*f.share()
	}
	return f
}

// thresholdOf is the rule's percentage of a quota, rounded up.
func (f *Finding) thresholdOf(c *Campaign) schemas.Total {
	return c.Quota.Total().Neg().MulDiv(uint64(f.rule.Params.Percent), allOf).Neg()
}

// percentOf of a quota of 0 is 100 as soon as anything is used.
func percentOf(credits float64, quota schemas.Credits) float64 {
	switch {
	case quota > 0:
		return 100 * credits / quota.Total().Float()
	case credits > 0:
		return 100
	}
	return 0
}
