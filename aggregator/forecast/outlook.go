package forecast

import (
	"github.com/drawdown/drawdown/schemas"
)

// Outlook is a workspace's forecast and those of its parts, which add up: at
// every instant the Mean of Total is the sum of the Means of Parts and of New
// (rules 10 to 12).
type Outlook struct {
	// Parts are forecasts of the series in the order given.
	Parts []Forecast
	// New is use by campaigns that are not there yet, or that are too young to
	// say anything about.
	New Curve
	// Total is the workspace; its band is narrower than the sum of the bands
	// of its parts.
	Total Forecast
}

// Workspace forecasts a workspace from its parts: a series for every campaign
// with use in the window, those that ended included, and one for what is
// unattributed. All have the At and Zone of the first one. To ask what pausing
// a campaign would do, give it a Paused span that opens at At.
func Workspace(parts []Series, until schemas.Millis) Outlook {
	o := Outlook{Parts: make([]Forecast, len(parts))}
	if len(parts) == 0 {
		o.Total.Method = InsufficientData
		return o
	}
	whole := Series{At: parts[0].At, Zone: parts[0].Zone, Hours: sumHours(parts), Since: earliest(parts)}
	o.Total = Project(&whole, until)
	o.Total.Level = 0
	knots := o.Total.Curve.knots
	known := make([]float64, len(knots))
	for i := range parts {
		o.Parts[i] = Project(&parts[i], until)
		o.Total.Level += o.Parts[i].Level
		addMeans(known, &o.Parts[i].Curve)
	}
	fresh, limit := make([]Amounts, len(knots)), 0.0
	share := newcomers(parts)
	for i := 1; i < len(knots); i++ {
		limit += (knots[i].Mean - knots[i-1].Mean) * share[min((hoursAt(i)-1)/hoursPerDay, len(share)-1)]
		fresh[i].Mean = max(min(knots[i].Mean-known[i], limit), fresh[i-1].Mean)
	}
	for i := range knots {
		fresh[i] = scaled(knots[i], fresh[i].Mean)
		knots[i] = scaled(knots[i], known[i]+fresh[i].Mean)
	}
	rise(knots)
	rise(fresh)
	o.New = Curve{at: whole.At, knots: fresh}
	return o
}

// scaled gives an amount of this mean the relative band of another.
func scaled(a Amounts, mean float64) Amounts {
	if !(a.Mean > 0) {
		return Amounts{mean, mean, mean, mean}
	}
	factor := mean / a.Mean
	return Amounts{Mean: mean, P10: a.P10 * factor, P50: a.P50 * factor, P90: a.P90 * factor}
}

// rise raises figures that would fall.
func rise(knots []Amounts) {
	for i := 1; i < len(knots); i++ {
		knots[i].rise(&knots[i-1])
	}
}

// addMeans adds a curve's means, one per knot; it goes on flat.
func addMeans(sum []float64, c *Curve) {
	if len(c.knots) == 0 {
		return
	}
	for i := range sum {
		sum[i] += c.knots[min(i, len(c.knots)-1)].Mean
	}
}

// earliest is the first instant at which any of the parts could be used.
func earliest(parts []Series) schemas.Millis {
	since := schemas.Millis(0)
	for i := range parts {
		if first := parts[i].since(); first != 0 && (since == 0 || first < since) {
			since = first
		}
	}
	return since
}

// sumHours adds the parts up, aligned at their ends.
func sumHours(parts []Series) []float64 {
	longest := 0
	for i := range parts {
		longest = max(longest, len(parts[i].Hours))
	}
	sum := make([]float64, longest)
	for i := range parts {
		skip := longest - len(parts[i].Hours)
		for j, amount := range parts[i].Hours {
			sum[skip+j] += cleaned(amount)
		}
	}
	return sum
}

// newcomerDays is how far back and how far ahead rule 11 looks.
const newcomerDays = 28

// newcomers is, for each number of days ahead, the share of recent use that
// came from campaigns which so many days before were not there or not a day
// old. What was used on the first day of the window is of unknown age, so old.
func newcomers(parts []Series) []float64 {
	total, byAge := 0.0, make([]float64, newcomerDays+1)
	for i := range parts {
		s := &parts[i]
		since, n := s.since(), len(s.Hours)
		start := s.hour(0)
		for j := max(n-newcomerDays*hoursPerDay, 0); j < n; j++ {
			amount := cleaned(s.Hours[j])
			total += amount
			age := int((s.hour(j) - since) / (hoursPerDay * hourMillis))
			if since >= start+hoursPerDay*hourMillis && age >= 0 && age < len(byAge) {
				byAge[age] += amount
			}
		}
	}
	share, sum := make([]float64, newcomerDays), byAge[0]
	for k := range share {
		sum += byAge[k+1]
		if total > 0 {
			share[k] = min(sum/total, 1)
		}
	}
	return share
}
