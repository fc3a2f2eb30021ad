package alerts

import (
	"time"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

// Figures is all that rules look at, of one workspace at one instant.
type Figures struct {
	At   schemas.Millis // the watermark; never now
	Name string         // of the workspace, for messages; empty: its id
	Zone *time.Location // of dates in messages, and of nothing else; nil: UTC

	// Granted says that the workspace was ever given credits. Until then
	// nothing about its balance is known.
	Granted   bool
	Remaining schemas.Total
	Allocated schemas.Total
	// ExpiresAt is the soonest expiry among active grants that hold credits,
	// or NoInstant.
	ExpiresAt schemas.Millis
	// Expiries has every coming instant at which grants expire that will hold
	// credits then, soonest first; where nothing is forecast, that hold some now.
	Expiries []Expiry
	Runway   Runway

	// Gross is what was used over the window that ends at At, refunds not
	// taken off; false: it is not known. Windows says which are asked for.
	Gross func(window time.Duration) (schemas.Total, bool)
	// Expected is how many credits are wont to be used, gross, in a range of
	// at most a day up to At, by the hour of the week: by a forecast that was
	// made before the range began, or a burst is part of what is usual. False:
	// the workspace is too young to say.
	Expected func(from, to schemas.Millis) (float64, bool)

	// Campaigns has every campaign that has a state, by id.
	Campaigns []Campaign
}

// Expiry is one instant at which credits expire.
type Expiry struct {
	At     schemas.Millis
	Unused float64         // credits that will expire there, by the forecast
	Method forecast.Method // of the forecast; empty: there is none, and Unused is not known
}

// Runway is when the balance will be 0.
type Runway struct {
	// ExhaustsAt is the median, or NoInstant: then Never says whether that is
	// because credits last for as long as anybody looks, or because nothing is
	// known.
	ExhaustsAt schemas.Millis
	Never      bool
	Method     forecast.Method
}

// Known says whether the runway is.
func (r Runway) Known() bool { return r.Never || r.ExhaustsAt != schemas.NoInstant }

// Statuses of campaigns. The quota of one that is over, or has not begun, is
// nobody's worry.
const (
	activeStatus = "ACTIVE"
	completed    = "COMPLETED"
	draft        = "DRAFT"
)

// Campaign is what rules look at of a campaign.
type Campaign struct {
	ID       string
	Name     string // for messages; empty: its id
	Status   string // ACTIVE, PAUSED, COMPLETED or DRAFT
	Quota    schemas.Credits
	HasQuota bool
	Used     schemas.Total // net, over its whole life
	// Projected is how many credits it will have used over its whole life at
	// ProjectedAt, the end of its period.
	Projected   float64
	ProjectedAt schemas.Millis
	Method      forecast.Method // empty or insufficient_data: Projected is not known
}

// SetBalance takes what the burn-down says.
func (f *Figures) SetBalance(state *balance.State) {
	f.Granted = state.GrantedTotal.Sign() > 0 || state.AdjustedTotal.Sign() > 0
	f.Remaining, f.Allocated, f.ExpiresAt = state.Remaining, state.Allocated, state.ExpiresAt
}

// Windows returns the windows of gross usage that the rules ask for, each once,
// in the order in which they are first asked for.
func Windows(rules []schemas.AlertRule) []time.Duration {
	var windows []time.Duration
	known := map[time.Duration]bool{}
	add := func(w time.Duration) {
		if !known[w] {
			known[w] = true
			windows = append(windows, w)
		}
	}
	for i := range rules {
		switch r := &rules[i]; {
		case !r.Live():
		case r.Kind == schemas.BurnSpike:
			add(r.Params.Window)
		case r.Kind == schemas.BurnRate:
			for _, pair := range burnWindows(&r.Params) {
				add(pair.Long)
				add(pair.Short)
			}
		}
	}
	return windows
}

func burnWindows(p *schemas.AlertParams) []schemas.BurnWindow {
	if p.Windows == nil {
		return schemas.DefaultBurnWindows
	}
	return p.Windows
}
