package alerts

import (
	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

const (
	anHour schemas.Millis = aDay / 24
	// historyHours is what a forecast is made from: eight weeks (DESIGN section
	// 8).
	historyHours = 8 * 7 * 24
	// forecastDays is how far it goes; beyond, use goes on as in its last week.
	forecastDays = 56
	// maxForecasts bounds those of one replay, each of a fifth of a millisecond:
	// beyond it they are made less often than once a day.
	maxForecasts = 2000
)

// foretell makes a forecast of the workspace or of a campaign from what the
// timeline had counted at an instant.
func (p *past) foretell(campaign *CampaignTimeline, at schemas.Millis) Outlook {
	if p.Forecast != nil {
		if campaign == nil {
			return p.Forecast("", at)
		}
		return p.Forecast(campaign.ID, at)
	}
	series := forecast.Series{At: at, Zone: p.Zone}
	if campaign == nil {
		series.Hours = hoursOf(p.Usage, at)
	} else {
		series.Hours = hoursOf(campaign.Usage, at)
		campaign.describe(&series)
	}
	until := at + forecastDays*aDay
	f := forecast.Project(&series, until)
	instants := []schemas.Millis{at}
	for next := at - at%anHour + anHour; next < until; {
		instants = append(instants, next)
		// Hours for a week, in which they matter; then days.
		if step := anHour; next-at < 7*aDay {
			next += step
		} else {
			next += aDay
		}
	}
	curve := f.Curve.Sample(append(instants, until))
	quantile := forecast.P50
	if p.rule.Kind == schemas.BurnSpike {
		quantile = forecast.Mean // what is usual of an hour, not its median
	}
	return Outlook{Method: f.Method, Usage: told{curve.Along(quantile), &curve, quantile}}
}

// told is an outlook that package forecast made.
type told struct {
	forecast.Along
	curve    *forecast.Sampled
	quantile forecast.Quantile
}

func (t told) credits(at schemas.Millis) float64 { return t.curve.Credits(at, t.quantile) }

// describe says what the states before the series' instant say.
func (c *CampaignTimeline) describe(s *forecast.Series) {
	for i, state := range c.States {
		if state.At > s.At {
			break
		}
		if s.Since == 0 {
			s.Since = state.At
			if len(c.Usage) > 0 {
				s.Since = min(s.Since, c.Usage[0].From)
			}
		}
		s.EndsAt = 0
		if state.EndsAt != schemas.NoInstant {
			s.EndsAt = state.EndsAt
		}
		if state.Status == activeStatus {
			continue
		}
		span := forecast.Span{From: state.At}
		if i+1 < len(c.States) && c.States[i+1].At <= s.At {
			span.To = c.States[i+1].At
		}
		s.Paused = append(s.Paused, span)
	}
}

// hoursOf are the gross credits of each of the last hours up to an instant. A
// bucket counts in the hour it starts in; one that is longer is spread evenly.
func hoursOf(buckets []Bucket, at schemas.Millis) []float64 {
	end := at - 1 - (at-1)%anHour + anHour
	begin := end - historyHours*anHour
	hours := make([]float64, historyHours)
	s := sums{buckets: buckets}
	for i := s.before(at) - 1; i >= 0 && buckets[i].To > begin; i-- {
		b := &buckets[i]
		n := max((b.To-b.From)/anHour, 1)
		each := b.Gross.Float() / float64(n)
		for k := range n {
			if hour := (b.From + k*anHour - begin) / anHour; b.From+k*anHour >= begin {
				hours[hour] += each
			}
		}
	}
	return hours
}
