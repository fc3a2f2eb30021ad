package aggregator

import (
	"slices"
	"time"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/aggregator/forecast"
	"github.com/drawdown/drawdown/schemas"
)

// workspace is what is kept of one between looks. Only one goroutine uses it.
type workspace struct {
	id       string
	name     string
	zoneName string
	zone     *time.Location
	entries  []balance.Entry
	states   map[string]*campaignState // nil: nothing was read yet
	series   series
	// total is the sum of the series when it was projected last, and totalSince
	// its first hour with use.
	total      []float64
	totalFrom  schemas.Millis
	totalSince int

	rules    []schemas.AlertRule // in force; nil: not read yet
	book     alerts.Book         // nil: to be restored
	recorded []schemas.AlertChange
	recall   bool // the book was restored: how long conditions are over is not known
	// life is what each campaign used, net, read at lifeAt by the clock; lifeOld
	// says that the last look did not read it.
	life    map[string]schemas.Total
	lifeAt  time.Time
	lifeOld bool

	// period is the balance's when it was projected last, and inPeriod what was
	// used in it, net.
	period   balance.Period
	inPeriod schemas.Total

	// changed says that something was counted since it was projected.
	changed     bool
	projectedAt schemas.Millis // watermark; NoInstant: never
	outlook     *outlook       // of the last projection; nil: there is none
	projections map[string]*projection
}

func newWorkspace(id string) *workspace {
	return &workspace{id: id, zone: time.UTC, projectedAt: schemas.NoInstant}
}

// campaignState is what was said of a campaign.
type campaignState struct {
	name     string
	status   string
	quota    *schemas.Credits
	startsAt schemas.Millis // NoInstant: not said
	endsAt   schemas.Millis
	since    schemas.Millis // its first state
	changes  []statusChange // oldest first
	// arrivedAt is when Kafka got the newest of its states.
	arrivedAt schemas.Millis
}

// equal says whether the same was said.
func (c *campaignState) equal(other *campaignState) bool {
	quota := c.quota == other.quota || c.quota != nil && other.quota != nil && *c.quota == *other.quota
	return quota && c.name == other.name && c.status == other.status && c.startsAt == other.startsAt && c.endsAt == other.endsAt &&
		c.since == other.since && slices.Equal(c.changes, other.changes)
}

// statusChange is from when on a campaign had a status.
type statusChange struct {
	at     schemas.Millis
	status string
}

// active is the status of campaigns that use credits.
const active = "ACTIVE"

// paused are the spans in which the campaign was not to use any credits: low
// use in them says nothing about its demand.
func (c *campaignState) paused() []forecast.Span {
	var spans []forecast.Span
	for i, change := range c.changes {
		if change.status == active {
			continue
		}
		span := forecast.Span{From: change.at}
		if i+1 < len(c.changes) {
			span.To = c.changes[i+1].at
		}
		spans = append(spans, span)
	}
	if c.startsAt != schemas.NoInstant {
		// It was said before when it starts.
		spans = append(spans, forecast.Span{From: c.since, To: c.startsAt})
	}
	return spans
}

// say takes a state that holds from at on, later than those before.
func (c *campaignState) say(at schemas.Millis, name, status string, quota *int64, startsAt, endsAt *time.Time) {
	c.name, c.status, c.quota = name, status, nil
	if quota != nil {
		credits := schemas.Credits(*quota)
		c.quota = &credits
	}
	c.startsAt, c.endsAt = millisOrNone(startsAt), millisOrNone(endsAt)
	if last := len(c.changes) - 1; last < 0 || c.changes[last].status != status {
		c.changes = append(c.changes, statusChange{at, status})
	}
}

func millisOf(t time.Time) schemas.Millis { return schemas.Millis(t.UnixMilli()) }

func millisOrNone(t *time.Time) schemas.Millis {
	if t == nil {
		return schemas.NoInstant
	}
	return millisOf(*t)
}

func timeOf(at schemas.Millis) time.Time { return time.UnixMilli(int64(at)).UTC() }
