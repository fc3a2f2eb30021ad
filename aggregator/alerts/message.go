package alerts

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// Message says the finding in a sentence for people: what is, not what to
// think of it.
func (f *Finding) Message() string {
	if f.Unknown != "" {
		return f.unknownText()
	}
	switch f.rule.Kind {
	case schemas.BalanceBelow:
		return f.balanceText()
	case schemas.RunwayBelow:
		return f.runwayText()
	case schemas.ExpiringUnused:
		return f.expiringText()
	case schemas.BurnRate:
		return f.burnText()
	case schemas.BurnSpike:
		return f.spikeText()
	case schemas.QuotaUsed, schemas.QuotaProjected:
		return f.quotaText()
	default:
		return f.freshnessText()
	}
}

func (f *Finding) unknownText() string {
	switch f.Unknown {
	case NoGrant:
		return f.name() + " was never given credits"
	case NoCredits:
		return f.name() + " has no credits left, so there is no rate at which they last"
	case NoCampaign:
		return "There is no campaign " + f.Subject
	case NoUsage:
		return "What " + f.name() + " used lately is not known"
	case NotMoved:
		return "Whether the figures of " + f.name() + " move was not yet seen"
	}
	if f.campaign != nil {
		return fmt.Sprintf("Campaign %s is too young or used too seldom for a forecast", f.campaignName())
	}
	return f.name() + " is too young or uses credits too seldom for a forecast"
}

func (f *Finding) balanceText() string {
	figures := f.figures
	switch figures.Remaining.Sign() {
	case 0:
		return f.name() + " has no credits left"
	case -1:
		return fmt.Sprintf("%s has no credits left and has used %s more than it was granted", f.name(), credits(figures.Remaining.Neg()))
	}
	text := fmt.Sprintf("%s has %s left", f.name(), credits(figures.Remaining))
	if figures.Allocated.Sign() > 0 {
		text += fmt.Sprintf(", %s of what was granted", percentText(100*figures.Remaining.Float()/figures.Allocated.Float()))
	}
	return text + f.endText("; at today's rate they end")
}

// endText says when credits end, after a few words, and how that compares with
// when they expire; nothing if neither is known.
func (f *Finding) endText(words string) string {
	expiresAt, exhaustsAt := f.figures.ExpiresAt, f.figures.Runway.ExhaustsAt
	switch {
	case exhaustsAt != schemas.NoInstant && expiresAt != schemas.NoInstant && exhaustsAt < expiresAt:
		return fmt.Sprintf("%s on %s, %s before they expire", words, f.date(exhaustsAt), span(expiresAt-exhaustsAt))
	case exhaustsAt != schemas.NoInstant:
		return fmt.Sprintf("%s on %s", words, f.date(exhaustsAt))
	case expiresAt != schemas.NoInstant:
		return fmt.Sprintf("; some expire on %s", f.date(expiresAt))
	}
	return ""
}

func (f *Finding) runwayText() string {
	figures := f.figures
	switch {
	case figures.Remaining.Sign() <= 0:
		return f.balanceText()
	case figures.Runway.ExhaustsAt == schemas.NoInstant:
		return fmt.Sprintf("%s has %s left, with no end in sight", f.name(), credits(figures.Remaining))
	}
	return fmt.Sprintf("%s has %s left, enough for %s%s", f.name(), credits(figures.Remaining),
		span(max(figures.Runway.ExhaustsAt-f.At, 0)), f.endText("; at today's rate they end"))
}

func (f *Finding) expiringText() string {
	if f.Value <= 0 {
		return fmt.Sprintf("No credits of %s will expire unused within %s", f.name(), days(f.rule.Params.Days))
	}
	// The first that counts; there is one, for the value is above 0.
	var first Expiry
	for _, e := range f.figures.Expiries {
		if f.within(e) && e.Unused > 0 {
			first = e
			break
		}
	}
	text := fmt.Sprintf("About %s of %s will expire unused", floatCredits(f.Value), f.name())
	if first.Unused < f.Value {
		return text + fmt.Sprintf(" within %s, the first on %s", days(f.rule.Params.Days), f.date(first.At))
	}
	return text + fmt.Sprintf(" on %s, in %s", f.date(first.At), span(first.At-f.At))
}

func (f *Finding) burnText() string {
	if f.pair.Long == 0 {
		return fmt.Sprintf("Nothing says for how long the credits of %s must last", f.name())
	}
	long, _ := f.figures.Gross(f.pair.Long)
	short, _ := f.figures.Gross(f.pair.Short)
	return fmt.Sprintf("%s uses %s an hour over the last %s and %s over the last %s, %s times what lasts until the credits expire on %s",
		f.name(), perHour(long, f.pair.Long), windowText(f.pair.Long), perHour(short, f.pair.Short), windowText(f.pair.Short),
		factorText(f.Value), f.date(f.figures.ExpiresAt))
}

func (f *Finding) spikeText() string {
	window := f.rule.Params.Window
	expected, _ := f.figures.Expected(f.At-schemas.Millis(window.Milliseconds()), f.At)
	text := fmt.Sprintf("%s used %s in the last %s", f.name(), floatCredits(f.Value), windowText(window))
	if expected <= 0 {
		return text + ", and usually uses none at this time of the week"
	}
	return fmt.Sprintf("%s, %s times what is usual at this time of the week (%s)", text, factorText(f.Value/expected), number(expected))
}

func (f *Finding) quotaText() string {
	c, name := f.campaign, f.campaignName()
	switch {
	case !c.HasQuota:
		return fmt.Sprintf("Campaign %s has no quota", name)
	case c.Status == completed:
		return fmt.Sprintf("Campaign %s is completed, having used %s", name, credits(c.Used))
	case c.Status == draft:
		return fmt.Sprintf("Campaign %s has not begun", name)
	case f.rule.Kind == schemas.QuotaUsed || c.Used.Cmp(f.thresholdOf(c)) >= 0:
		return fmt.Sprintf("Campaign %s has used %s of its quota of %s (%s)", name, number(c.Used.Float()),
			credits(c.Quota.Total()), percentText(percentOf(c.Used.Float(), c.Quota)))
	}
	return fmt.Sprintf("Campaign %s will have used about %s of its quota of %s (%s) by %s", name, number(math.Round(c.Projected)),
		credits(c.Quota.Total()), percentText(f.Value), f.date(c.ProjectedAt))
}

func (f *Finding) freshnessText() string {
	if f.Met {
		return fmt.Sprintf("The figures of %s have stood still since %s: what was used since is not counted yet, and no other alert is looked at",
			f.name(), f.figures.At.Time().Format("15:04:05 UTC on 2 January"))
	}
	return "The figures of " + f.name() + " are up to date"
}

func (f *Finding) name() string {
	if f.figures.Name != "" {
		return f.figures.Name
	}
	return f.rule.WorkspaceID
}

func (f *Finding) campaignName() string {
	if f.campaign.Name != "" {
		return f.campaign.Name
	}
	return f.campaign.ID
}

// date is a day in the workspace's zone, with the year if it is another one
// than that of the figures.
func (f *Finding) date(at schemas.Millis) string {
	zone := f.figures.Zone
	if zone == nil {
		zone = time.UTC
	}
	day, today := at.Time().In(zone), f.At.Time().In(zone)
	if day.Year() == today.Year() {
		return day.Format("2 January")
	}
	return day.Format("2 January 2006")
}

// span is a length of time in its largest unit of which there are two, rounded
// down.
func span(length schemas.Millis) string {
	for _, unit := range []struct {
		name   string
		length schemas.Millis
	}{{"day", aDay}, {"hour", aDay / 24}} {
		if length >= 2*unit.length {
			return fmt.Sprintf("%d %ss", length/unit.length, unit.name)
		}
	}
	return plural(int64(length/60_000), "minute")
}

func plural(n int64, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

func days(h schemas.Hundredths) string {
	if h == 1_00 {
		return "1 day"
	}
	return h.String() + " days"
}

func windowText(d time.Duration) string {
	switch {
	case d%(24*time.Hour) == 0 && d > 24*time.Hour:
		return plural(int64(d/(24*time.Hour)), "day")
	case d == time.Hour:
		return "hour"
	case d%time.Hour == 0:
		return plural(int64(d/time.Hour), "hour")
	}
	return plural(int64(d/time.Minute), "minute")
}

func perHour(used schemas.Total, window time.Duration) string {
	return number(used.Float() / window.Hours())
}

// credits writes an amount with its unit, such as "1,204 credits".
func credits(t schemas.Total) string { return floatCredits(t.Float()) }

func floatCredits(amount float64) string {
	text := number(amount)
	if text == "1" {
		return "1 credit"
	}
	return text + " credits"
}

// number writes an amount as people read it: in whole credits from 100 on,
// else with two decimals, rounded towards 0 so that nobody seems to have more
// than there is, and in groups of three.
func number(amount float64) string {
	decimals, scale := 2, 100.0
	if math.Abs(amount) >= 100 {
		decimals, scale = 0, 1
	}
	// A hair more, because 0.29 * 100 is 28.999999999999996.
	amount = math.Trunc(amount*scale*(1+1e-12)) / scale
	text := strconv.FormatFloat(amount, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	if text == "-0" {
		text = "0"
	}
	whole, fraction, hasFraction := strings.Cut(text, ".")
	first := len(whole) - len(strings.TrimPrefix(whole, "-"))
	for i := len(whole) - 3; i > first; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if hasFraction {
		return whole + "." + fraction
	}
	return whole
}

func percentText(p float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(p, 'f', 1, 64), ".0") + " %"
}

func factorText(x float64) string {
	if x >= 10 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 1, 64), ".0")
}
