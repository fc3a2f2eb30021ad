package alerts

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

// Timeline is what is known of a workspace's past, for Replay.
type Timeline struct {
	Name    string         // of the workspace, for messages
	Zone    *time.Location // of dates in messages
	Entries []balance.Entry
	// Usage is that of the workspace from its beginning on, in ascending
	// buckets that do not overlap: quarters of an hour from before the longest
	// window on, hours for forecasts, and as long as you like before. What a bucket used is known
	// from its end on. One that a ledger instant cuts belongs to where it
	// starts; cut buckets there, and balances are exact.
	Usage []Bucket
	// Campaigns has every campaign that has a state, by id.
	Campaigns []CampaignTimeline
	// Forecast makes a forecast of the workspace (empty id) or of a campaign
	// from what had been counted at an instant. Nil: package forecast does, from
	// Usage, which then has hours or less for eight weeks before the replay.
	Forecast func(campaignID string, at schemas.Millis) Outlook
}

// Bucket is what was used in [From, To).
type Bucket struct {
	From, To   schemas.Millis
	Net, Gross schemas.Total // refunds taken off, and not
}

// CampaignTimeline is the past of one campaign.
type CampaignTimeline struct {
	ID     string
	States []CampaignState // by At; of two with one At the last holds
	Usage  []Bucket        // as Timeline.Usage, from the campaign's beginning on
}

// CampaignState is what one campaign.updated said.
type CampaignState struct {
	At           schemas.Millis
	Name, Status string
	Quota        schemas.Credits
	HasQuota     bool
	EndsAt       schemas.Millis // NoInstant: the workspace's period ends it
}

// sums answers for ranges of buckets by their prefixes.
type sums struct {
	buckets    []Bucket
	net, gross []schemas.Total // of all buckets before the i-th
}

func newSums(buckets []Bucket) *sums {
	s := &sums{buckets: buckets, net: make([]schemas.Total, len(buckets)+1), gross: make([]schemas.Total, len(buckets)+1)}
	for i := range buckets {
		s.net[i+1], s.gross[i+1] = s.net[i].Add(buckets[i].Net), s.gross[i].Add(buckets[i].Gross)
	}
	return s
}

// before is how many buckets have ended by an instant.
func (s *sums) before(at schemas.Millis) int {
	return sort.Search(len(s.buckets), func(i int) bool { return s.buckets[i].To > at })
}

// from is how many buckets start before an instant.
func (s *sums) from(at schemas.Millis) int {
	return sort.Search(len(s.buckets), func(i int) bool { return s.buckets[i].From >= at })
}

// netBetween is the net usage of the buckets that start in [from, to).
func (s *sums) netBetween(from, to schemas.Millis) schemas.Total {
	return s.net[s.from(to)].Sub(s.net[s.from(from)])
}

// netSince is that of the buckets that start at from or later and have ended
// by at.
func (s *sums) netSince(from, at schemas.Millis) schemas.Total {
	first := s.from(from)
	return s.net[max(s.before(at), first)].Sub(s.net[first])
}

// grossBefore is the gross usage before an instant; of a bucket that it cuts,
// in proportion to time.
func (s *sums) grossBefore(at schemas.Millis) schemas.Total {
	i := s.before(at)
	total := s.gross[i]
	if i < len(s.buckets) && s.buckets[i].From < at {
		b := &s.buckets[i]
		total = total.Add(b.Gross.MulDiv(uint64(at-b.From), uint64(b.To-b.From)))
	}
	return total
}

// past is a Timeline made ready for one rule.
type past struct {
	*Timeline
	rule      *schemas.AlertRule
	begin     schemas.Millis
	usage     *sums
	campaigns []campaignPast
	issuedAt  map[string]schemas.Millis // of grants, by event
	cuts      []schemas.Millis

	// The balance at the last cut at or before the instant that is looked at.
	base *balance.State

	// The last two days' forecasts.
	forecastEvery          schemas.Millis
	today                  schemas.Millis // when the last one was made
	outlook, outlookBefore Outlook

	steps         int // of the replay
	sinceForeseen int // how many
	foreseenBy    *balance.State
	foreseenOn    schemas.Millis

	figures Figures
}

// campaignPast is a campaign up to the instant that is looked at, which only
// rises.
type campaignPast struct {
	*CampaignTimeline
	used    schemas.Total
	counted int // buckets in used
	state   int // states before the instant

	outlook   Outlook
	outlookAt schemas.Millis // when it was made
}

func newPast(rule *schemas.AlertRule, timeline *Timeline, from, to, step schemas.Millis) (*past, error) {
	cuts, err := balance.Cuts(timeline.Entries, to)
	if err != nil {
		return nil, err
	}
	p := &past{
		Timeline: timeline, rule: rule, begin: from, steps: int((to - from) / step), usage: newSums(timeline.Usage), cuts: cuts,
		forecastEvery: aDay, today: schemas.NoInstant, issuedAt: make(map[string]schemas.Millis, len(timeline.Entries)),
	}
	for i := range timeline.Entries {
		p.issuedAt[timeline.Entries[i].EventID] = timeline.Entries[i].At
	}
	if p.looksAtQuotas() {
		for i := range timeline.Campaigns {
			if id := rule.Params.CampaignID; id == "" || id == timeline.Campaigns[i].ID {
				p.campaigns = append(p.campaigns, campaignPast{CampaignTimeline: &timeline.Campaigns[i], outlookAt: schemas.NoInstant})
			}
		}
		slices.SortFunc(p.campaigns, func(a, b campaignPast) int { return cmp.Compare(a.ID, b.ID) })
	}
	if days := (to-from)/aDay + 1; rule.Kind == schemas.QuotaProjected {
		p.forecastEvery *= 1 + (schemas.Millis(len(p.campaigns))*days-1)/maxForecasts
	}
	p.figures = Figures{Name: timeline.Name, Zone: timeline.Zone, Gross: p.gross, Expected: p.expected}
	p.figures.Runway.ExhaustsAt = schemas.NoInstant
	return p, nil
}

func (p *past) looksAhead() bool {
	return p.rule.Kind == schemas.RunwayBelow || p.rule.Kind == schemas.ExpiringUnused
}

func (p *past) looksAtQuotas() bool {
	return p.rule.Kind == schemas.QuotaUsed || p.rule.Kind == schemas.QuotaProjected
}

// at returns the figures at an instant that is not before the last one. They
// hold until the next call.
func (p *past) at(at schemas.Millis) (*Figures, error) {
	p.figures.At = at
	p.forecast(at)
	if err := p.cutBefore(at); err != nil {
		return nil, err
	}
	if p.looksAtQuotas() {
		p.countCampaigns(at)
		return &p.figures, nil
	}
	state, err := p.balance(at)
	if err != nil {
		return nil, err
	}
	p.figures.SetBalance(state)
	if p.looksAhead() {
		err = p.foresee(state)
	}
	return &p.figures, err
}

// forecast makes the day's forecast of the workspace, unless it is made. Days
// are counted from the begin.
func (p *past) forecast(at schemas.Millis) {
	made := at - (at-p.begin)%p.forecastEvery
	if made == p.today {
		return
	}
	switch p.rule.Kind {
	case schemas.RunwayBelow, schemas.ExpiringUnused:
		p.outlook = p.foretell(nil, made)
	case schemas.BurnSpike:
		// A window may begin the day before.
		p.outlookBefore = p.outlook
		if p.today != made-aDay {
			p.outlookBefore = p.foretell(nil, made-aDay)
		}
		p.outlook = p.foretell(nil, made)
	}
	p.today = made
}

// expected is what yesterday's and today's forecasts have for a range.
func (p *past) expected(from, to schemas.Millis) (float64, bool) {
	if !p.outlook.Known() {
		return 0, false
	}
	if from >= p.today {
		return p.outlook.between(from, to), true
	}
	if !p.outlookBefore.Known() {
		return 0, false
	}
	amount := p.outlookBefore.between(from, min(p.today, to))
	if to > p.today {
		amount += p.outlook.between(p.today, to)
	}
	return amount, true
}

func (p *past) gross(window time.Duration) (schemas.Total, bool) {
	at := p.figures.At
	return p.usage.grossBefore(at).Sub(p.usage.grossBefore(at - schemas.Millis(window.Milliseconds()))), true
}

// maxForesights bounds the grants that all looks ahead of a replay see, each of
// some microseconds.
const maxForesights = 200_000

// foresee looks ahead, unless it did a moment ago and there are so many grants
// that each step would be too often.
func (p *past) foresee(state *balance.State) error {
	every := 1 + len(state.Grants)*p.steps/maxForesights
	p.sinceForeseen++
	if p.sinceForeseen < every && p.foreseenBy == p.base && p.foreseenOn == p.today {
		return nil
	}
	p.sinceForeseen, p.foreseenBy, p.foreseenOn = 0, p.base, p.today
	return p.figures.Foresee(state, p.outlook)
}

// cutBefore makes the base that of an instant.
func (p *past) cutBefore(at schemas.Millis) error {
	cut := balance.Beginning
	if i, isCut := slices.BinarySearch(p.cuts, at); isCut {
		cut = at
	} else if i > 0 {
		cut = p.cuts[i-1]
	}
	if p.base != nil && p.base.At == cut {
		return nil
	}
	base, err := p.burn(cut)
	p.base = base
	return err
}

// balance is the burn-down at an instant, run once for each segment of the
// ledger: within one, usage does nothing but drain what is active, in the order
// of State.Grants.
func (p *past) balance(at schemas.Millis) (*balance.State, error) {
	used := p.usage.netSince(p.base.At, at)
	if used.Sign() < 0 {
		// Refunds refill grants by rules that only the burn-down knows.
		state, err := p.burn(at)
		if err == nil {
			state.Grants = slices.DeleteFunc(state.Grants, func(g balance.Grant) bool { return p.unforeseen(&g, at) })
		}
		return state, err
	}
	state := *p.base
	state.At, state.Period, state.Grants = at, p.periodAt(at), nil
	state.Remaining, state.ExpiresAt = state.Remaining.Sub(used), schemas.NoInstant
	for i := range p.base.Grants {
		g := p.base.Grants[i]
		if g.Status == balance.Active {
			taken := g.Remaining.Min(used)
			g.Remaining, used = g.Remaining.Sub(taken), used.Sub(taken)
			if g.Remaining.Sign() == 0 {
				continue
			}
			if g.ExpiresAt != schemas.NoInstant && (state.ExpiresAt == schemas.NoInstant || g.ExpiresAt < state.ExpiresAt) {
				state.ExpiresAt = g.ExpiresAt
			}
		}
		if p.looksAhead() && (g.Status == balance.Active || g.Status == balance.Scheduled && !p.unforeseen(&g, at)) {
			state.Grants = append(state.Grants, g)
		}
	}
	state.Overdraft = state.Overdraft.Add(used) // what no grant held
	return &state, nil
}

// periodAt is the period of the base at a later instant of its segment: only
// that of a calendar month moves on.
func (p *past) periodAt(at schemas.Millis) balance.Period {
	period := p.base.Period
	for at >= period.To {
		period = balance.Period{From: period.To, To: schemas.MillisOf(period.To.Time().AddDate(0, 1, 0))}
	}
	return period
}

func (p *past) burn(at schemas.Millis) (*balance.State, error) {
	segments, err := balance.Segments(p.Entries, at)
	if err != nil {
		return nil, err
	}
	for i := range segments {
		segments[i].Net = p.usage.netBetween(segments[i].From, segments[i].To)
	}
	if _, isCut := slices.BinarySearch(p.cuts, at); !isCut && len(segments) > 0 {
		last := &segments[len(segments)-1]
		last.Net = p.usage.netSince(last.From, at)
	}
	return balance.Burn(p.Entries, segments, at)
}

// unforeseen says whether nobody had issued a scheduled grant yet.
func (p *past) unforeseen(g *balance.Grant, at schemas.Millis) bool {
	return g.Status == balance.Scheduled && p.issuedAt[g.EventID] > at
}

// countCampaigns moves every campaign on to an instant.
func (p *past) countCampaigns(at schemas.Millis) {
	periodEnd := p.periodAt(at).To
	p.figures.Campaigns = p.figures.Campaigns[:0]
	for i := range p.campaigns {
		c := &p.campaigns[i]
		for c.counted < len(c.Usage) && c.Usage[c.counted].To <= at {
			c.used = c.used.Add(c.Usage[c.counted].Net)
			c.counted++
		}
		for c.state < len(c.States) && c.States[c.state].At <= at {
			c.state++
		}
		if c.state == 0 {
			continue
		}
		state := &c.States[c.state-1]
		campaign := Campaign{
			ID: c.ID, Name: state.Name, Status: state.Status, Quota: state.Quota, HasQuota: state.HasQuota, Used: c.used,
		}
		if p.rule.Kind == schemas.QuotaProjected && state.HasQuota {
			p.project(c, &campaign, state, periodEnd)
		}
		p.figures.Campaigns = append(p.figures.Campaigns, campaign)
	}
}

// project is what a campaign will have used by the end of its period.
func (p *past) project(of *campaignPast, c *Campaign, state *CampaignState, periodEnd schemas.Millis) {
	at := p.figures.At
	c.ProjectedAt = periodEnd
	if state.EndsAt != schemas.NoInstant {
		c.ProjectedAt = state.EndsAt
	}
	if state.Status != activeStatus || c.ProjectedAt <= at {
		c.Projected, c.Method = c.Used.Float(), forecast.RunRate
		return
	}
	if of.outlookAt != p.today {
		of.outlook, of.outlookAt = p.foretell(of.CampaignTimeline, p.today), p.today
	}
	if of.outlook.Known() {
		c.Projected, c.Method = c.Used.Float()+of.outlook.between(at, c.ProjectedAt), of.outlook.Method
	}
}
