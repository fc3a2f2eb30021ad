package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// simWorkspace is one workspace of a simulation: what it is and how it uses
// credits.
type simWorkspace struct {
	ID        string
	Name      string
	Zone      string
	WeekStart string
	Campaigns []simCampaign
	// Ledger holds the grants, adjustments and voids, without workspace and id.
	Ledger []schemas.Event

	PerDay        float64 // events of an average day of its history
	LivePerSecond float64 // events of an average second of its live stream
	// Units is how many units one event of the history uses on average: a
	// history of few events then has the volume of a live stream of many.
	Units        float64
	Growth       float64 // of usage, per day, relative; the volume above is that of the anchor
	Refunds      float64 // share of events
	Unattributed float64 // share of events
}

// simCampaign is one campaign. It uses credits in [From, Until).
type simCampaign struct {
	ID       string
	Name     string
	Quota    schemas.Credits // 0: none
	Weight   float64
	Actions  []int // indexes into simActions
	From     time.Time
	Until    time.Time  // zero: still does
	StartsAt time.Time  // zero: none
	EndsAt   time.Time  // zero: none
	States   []simState // in order of time
}

// simState is a status of a campaign from an instant on.
type simState struct {
	At     time.Time
	Status string
}

// simAction is something that credits buy.
type simAction struct {
	Name string
	Unit schemas.Credits
	// Metered actions cost anything from half to one and a half units, to the
	// micro-credit, so that sums show whether every digit is kept.
	Metered bool
}

// simActions are the actions of every simulation.
func simActions() []simAction {
	return []simAction{
		{Name: "lead_sourced", Unit: 250_000},
		{Name: "email_sent", Unit: 50_000},
		{Name: "enrichment", Unit: 100_000},
		{Name: "call_minute", Unit: 400_000},
		{Name: "research", Unit: 313_370, Metered: true},
	}
}

const (
	actionLead = iota
	actionEmail
	actionEnrichment
	actionCall
	actionResearch
)

// weekProfile returns the relative volume of each local hour of a week that
// starts on Sunday, as time.Weekday counts; its mean is 1. Offices work:
// nights and weekends are quiet, Tuesday to Thursday are the busiest.
func weekProfile() [168]float64 {
	days := [7]float64{0.45, 1.0, 1.15, 1.2, 1.1, 0.95, 0.5}
	var profile [168]float64
	sum := 0.0
	for i := range profile {
		hour := float64(i % 24)
		morning := math.Exp(-(hour - 10) * (hour - 10) / 8)
		afternoon := 0.8 * math.Exp(-(hour-15)*(hour-15)/6)
		profile[i] = days[i/24] * (0.3 + morning + afternoon)
		sum += profile[i]
	}
	for i := range profile {
		profile[i] *= float64(len(profile)) / sum
	}
	return profile
}

// generateWorld makes workspaces of which the first are the largest. Everything
// in it follows from the options.
func generateWorld(o simOptions) []simWorkspace {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/Los_Angeles", "Australia/Lord_Howe"}
	weights := make([]float64, o.Workspaces)
	sum := 0.0
	for i := range weights {
		weights[i] = math.Pow(float64(i+1), -0.8)
		sum += weights[i]
	}
	perDay := float64(defaultBackfillEvents) / 56
	days := o.Until.Sub(o.From).Hours() / 24
	if days > 0 && o.Events > 0 {
		perDay = float64(o.Events) / days
	}
	world := make([]simWorkspace, o.Workspaces)
	for i := range world {
		share := weights[i] / sum
		w := &world[i]
		*w = simWorkspace{
			ID:            fmt.Sprintf("%sws-%03d", o.Prefix, i+1),
			Name:          fmt.Sprintf("Simulated workspace %d", i+1),
			Zone:          zones[i%len(zones)],
			WeekStart:     "monday",
			PerDay:        perDay * share,
			LivePerSecond: share,
			Refunds:       o.Refunds,
			Unattributed:  o.Unattributed,
		}
		if i%3 == 2 {
			w.WeekStart = "sunday"
		}
		rng := newRand(o.Seed, hashText(w.ID), 0)
		for j := range o.Campaigns {
			w.Campaigns = append(w.Campaigns, generateCampaign(o, j, rng))
		}
		w.Ledger = generateLedger(o, w, max(days, 30), rng)
	}
	return world
}

func generateCampaign(o simOptions, index int, rng *rand.Rand) simCampaign {
	audiences := []string{"fintech", "logistics", "healthcare", "retail", "energy", "education", "insurance", "travel"}
	goals := []string{"Outbound to", "Win back in", "Webinar for", "Renewals in", "Pilot with"}
	c := simCampaign{
		ID:     fmt.Sprintf("cmp-%03d", index+1),
		Name:   fmt.Sprintf("%s %s %d", goals[rng.IntN(len(goals))], audiences[rng.IntN(len(audiences))], index+1),
		Weight: 0.2 + rng.ExpFloat64(),
		From:   o.setupAt(),
		States: []simState{{At: o.setupAt(), Status: "ACTIVE"}},
	}
	for action := range simActions() {
		if rng.Float64() < 0.5 {
			c.Actions = append(c.Actions, action)
		}
	}
	if len(c.Actions) == 0 {
		c.Actions = []int{rng.IntN(len(simActions()))}
	}
	if rng.Float64() < 0.6 {
		c.Quota = schemas.Credits(1000*(1+rng.IntN(50))) * schemas.MicrosPerCredit
	}
	// The first campaign stays active, so that there is always something to do.
	ends := o.setupAt().Add(o.Until.Sub(o.From) / 2)
	switch u := rng.Float64(); {
	case index == 0 || u < 0.75:
	case u < 0.85:
		c.Until = ends
		c.States = append(c.States, simState{At: ends, Status: "PAUSED"})
	case u < 0.95:
		c.Until, c.EndsAt = ends, ends
		c.States = append(c.States, simState{At: ends, Status: "COMPLETED"})
	default:
		c.Until = c.From
		c.States[0].Status = "DRAFT"
	}
	return c
}

// generateLedger grants what the workspace is expected to use, to some less
// and to others more.
func generateLedger(o simOptions, w *simWorkspace, days float64, rng *rand.Rand) []schemas.Event {
	const creditsPerEvent = 0.22 // the mean of simActions
	expected := w.PerDay * days * creditsPerEvent
	at := o.setupAt()
	paid := grantOf("paid", schemas.Paid, 100, int64(expected*(0.7+1.5*rng.Float64()))+100, at, at.Add(2*time.Duration(days)*24*time.Hour))
	promo := grantOf("welcome", schemas.Promo, 200, int64(expected*0.1)+10, at, at.AddDate(0, 0, 90))
	return []schemas.Event{paid, promo}
}

// grantOf is a grant of whole credits whose id names what and when, and how
// much: another amount is another grant and no conflict.
func grantOf(name string, class schemas.Class, priority uint16, credits int64, from, to time.Time) schemas.Event {
	ev := schemas.Event{
		Type:        schemas.CreditsGranted,
		Time:        schemas.MillisOf(from),
		GrantID:     fmt.Appendf(nil, "%s-%s-%d", name, from.Format(time.DateOnly), credits),
		Credits:     schemas.Credits(credits) * schemas.MicrosPerCredit,
		Class:       class,
		Priority:    priority,
		EffectiveAt: schemas.MillisOf(from),
		ExpiresAt:   schemas.NoInstant,
		Actor:       []byte("drawdown"),
	}
	if !to.IsZero() {
		ev.ExpiresAt = schemas.MillisOf(to)
	}
	return ev
}

// setup returns what must be known before the events: the workspaces, the
// campaigns and the ledger. The id of each record is a hash of what it says, so
// that saying it again is a duplicate.
func (s *simulator) setup() []simRecord {
	var events []schemas.Event
	at := schemas.MillisOf(s.options.setupAt())
	for i := range s.world {
		w := &s.world[i]
		workspace := []byte(w.ID)
		events = append(events, schemas.Event{
			Type: schemas.WorkspaceUpdated, Time: at, WorkspaceID: workspace,
			Name: []byte(w.Name), TimeZone: []byte(w.Zone), WeekStart: []byte(w.WeekStart),
		})
		for j := range w.Campaigns {
			events = append(events, w.Campaigns[j].events(workspace)...)
		}
		for _, entry := range w.Ledger {
			entry.WorkspaceID = workspace
			events = append(events, entry)
		}
	}
	records := make([]simRecord, len(events))
	for i := range events {
		ev := &events[i]
		ev.Source = s.source
		sum := sha256.Sum256(schemas.EncodeEvent(ev))
		ev.ID = hex.AppendEncode([]byte("setup-"), sum[:12])
		records[i] = simRecord{Topic: ev.Type.Topic(), Key: ev.WorkspaceID, Value: schemas.EncodeEvent(ev)}
	}
	return records
}

func (c *simCampaign) events(workspace []byte) []schemas.Event {
	var events []schemas.Event
	for _, state := range c.States {
		ev := schemas.Event{
			Type: schemas.CampaignUpdated, Time: schemas.MillisOf(state.At), WorkspaceID: workspace,
			CampaignID: []byte(c.ID), Name: []byte(c.Name), Status: []byte(state.Status),
			Quota: c.Quota, HasQuota: c.Quota > 0,
		}
		if !c.StartsAt.IsZero() {
			ev.StartsAt = schemas.MillisOf(c.StartsAt)
		}
		if !c.EndsAt.IsZero() {
			ev.EndsAt = schemas.MillisOf(c.EndsAt)
		}
		events = append(events, ev)
	}
	return events
}
