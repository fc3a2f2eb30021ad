package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

const (
	demoSeed    = 42
	demoHistory = 56 * 24 * time.Hour
	demoFile    = "demo.json"
	// demoUnits makes an event of the history worth this many of the live
	// stream: 56 days at the live rate would be 14 million events.
	demoUnits = 42
	// demoHeartbeat is how often the demo notes how far its live stream is.
	demoHeartbeat = 5 * time.Second
)

// demo is the story behind `drawdown up --demo`: three workspaces with eight
// weeks of history and a live stream. What its history says depends on the day
// of the first start alone, which <data>/demo.json remembers; so each start
// sends the same events, and those are counted once. The time in which the
// demo was off is filled with history as well.
type demo struct {
	path  string
	state demoState
	now   time.Time
	world []simWorkspace
}

// demoState is <data>/demo.json.
type demoState struct {
	Anchor time.Time `json:"anchor"` // midnight before the first start
	// Story is a hash of how the history begins. A release that tells another
	// one leaves what was told and only goes on from there.
	Story string `json:"story"`
	// Live are the times in which the live stream ran; the history leaves
	// them out.
	Live []demoSpan `json:"live"`
}

type demoSpan struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// newDemo reads the state of the demo in dataDir, or begins one.
func newDemo(dataDir string, now time.Time) (*demo, error) {
	d := &demo{path: filepath.Join(dataDir, demoFile), now: now.UTC().Truncate(time.Second)}
	text, err := os.ReadFile(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.state.Anchor = d.now.Truncate(24 * time.Hour)
		err = d.save()
	case err != nil:
		err = fmt.Errorf("cannot read the state of the demo: %w", err)
	default:
		if err = json.Unmarshal(text, &d.state); err != nil {
			err = fmt.Errorf("cannot read the state of the demo from %s: %w; remove the file to begin a new one", d.path, err)
		}
	}
	if err != nil {
		return nil, err
	}
	if d.world, err = demoWorld(d.state.Anchor, d.now); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *demo) save() error {
	if err := writeJSON(d.path, d.state); err != nil {
		return fmt.Errorf("cannot keep the state of the demo: %w", err)
	}
	return nil
}

// options returns the simulation of the history in [from, until).
func (d *demo) options(from, until time.Time) simOptions {
	return simOptions{
		Seed: demoSeed, Run: uint64(d.now.UnixNano()), Source: "/demo", ImportID: "demo",
		From: from, Until: until, Start: d.state.Anchor.Add(-demoHistory),
		World: d.world, Anchor: d.state.Anchor,
	}
}

// Seed sends workspaces, campaigns, grants and the history up to now, and
// returns how many events it sent once all are acknowledged: about 300,000.
func (d *demo) Seed(ctx context.Context, p *producer) (int64, error) {
	story, err := d.story()
	if err != nil {
		return 0, err
	}
	from, spans := d.state.Anchor.Add(-demoHistory), d.state.Live
	if d.state.Story == "" {
		d.state.Story = story
		if err := d.save(); err != nil {
			return 0, err
		}
	}
	if d.state.Story != story && len(spans) > 0 {
		from, spans = spans[len(spans)-1].Until, nil
	}
	sent := int64(0)
	send := func(record simRecord) error {
		sent++
		return p.Send(ctx, record.Topic, record.Key, record.Value, record.Headers...)
	}
	if d.state.Story == story {
		if err := d.eachRecord(from, from, send); err != nil {
			return sent, fmt.Errorf("cannot seed the demo: %w", err)
		}
	}
	for _, gap := range append(slices.Clone(spans), demoSpan{From: d.now}) {
		if from.Before(gap.From) {
			if err := d.eachRecord(from, gap.From, send); err != nil {
				return sent, fmt.Errorf("cannot seed the demo: %w", err)
			}
		}
		from = gap.Until
	}
	if err := p.Flush(ctx); err != nil {
		return sent, fmt.Errorf("cannot seed the demo: %w", err)
	}
	return sent, nil
}

// eachRecord visits the history in [from, until), or, where that is empty, the
// workspaces, campaigns and grants.
func (d *demo) eachRecord(from, until time.Time, visit func(simRecord) error) error {
	sim, err := newSimulator(d.options(from, until))
	if err != nil {
		return err
	}
	if from.Equal(until) {
		for _, record := range sim.setup() {
			record.Headers = sim.headers
			if err := visit(record); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		record, ok := sim.Next()
		if !ok {
			return nil
		}
		if err := visit(record); err != nil {
			return err
		}
	}
}

// story is a hash of the first day of the history: it changes with whatever
// makes the events.
func (d *demo) story() (string, error) {
	sum := sha256.New()
	from := d.state.Anchor.Add(-demoHistory)
	err := d.eachRecord(from, from.AddDate(0, 0, 1), func(record simRecord) error {
		sum.Write(record.Value)
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)[:8]), err
}

// Live sends a few events per second, more by day and fewer by night, until
// ctx ends; then it returns nil.
func (d *demo) Live(ctx context.Context, p *producer, now func() time.Time) error {
	options := d.options(d.now, d.now)
	options.Late, options.Duplicates = 0.02, 0.02
	sim, err := newSimulator(options)
	if err != nil {
		return err
	}
	d.state.Live = append(d.state.Live, demoSpan{From: d.now, Until: now().UTC()})
	span := &d.state.Live[len(d.state.Live)-1]
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	due, last := 0.0, now()
	for {
		select {
		case <-ctx.Done():
			return d.save()
		case <-ticker.C:
		}
		at := now()
		due += min(at.Sub(last).Seconds(), 1) * sim.liveRate(at)
		last = at
		for ; due >= 1; due-- {
			record := sim.Live(at)
			if err := p.Send(ctx, record.Topic, record.Key, record.Value); err != nil {
				return errors.Join(ignoreCanceled(err), d.save())
			}
		}
		if at.Sub(span.Until) >= demoHeartbeat {
			span.Until = at.UTC()
			if err := d.save(); err != nil {
				return err
			}
		}
	}
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// liveRate is the number of events per second at this hour.
func (s *simulator) liveRate(at time.Time) float64 {
	rate := 0.0
	for i := range s.world {
		rate += s.world[i].LivePerSecond * s.profileAt(i, at)
	}
	return rate
}

// demoWorld is the story, told from a day: one workspace that is fine and will
// lose a promotion it does not use, one about to run out, one in overdraft with
// campaigns that were paused for it. The volumes are chosen together with the
// grants; TestDemoTellsItsStory holds them to it. Renewals are scheduled one
// period ahead of now.
func demoWorld(day, now time.Time) ([]simWorkspace, error) {
	perDay := func(liveRate float64) float64 { return liveRate * 86400 / demoUnits }
	acme := simWorkspace{
		ID: "demo-acme", Name: "Acme Corp", Zone: "America/New_York", WeekStart: "sunday",
		LivePerSecond: 1.4, PerDay: perDay(1.4), Units: demoUnits,
		Refunds: 0.005, Unattributed: 0.01,
		Campaigns: []simCampaign{
			demoCampaign(day, "cmp-outreach", "Targeted outreach for software sales leaders", 700_000, 5, actionLead, actionEmail, actionResearch),
			demoCampaign(day, "cmp-fintech", "Fintech founders in New York", 300_000, 3, actionLead, actionEnrichment),
			demoCampaign(day, "cmp-webinar", "Autumn webinar invitations", 120_000, 1.5, actionEmail),
			demoCampaign(day, "cmp-calls", "Discovery calls", 0, 1, actionCall, actionResearch),
			demoCampaign(day, "cmp-revive", "Revive lost deals", 250_000, 2, actionEmail, actionLead),
			ended(demoCampaign(day, "cmp-summer", "Summer pilot", 150_000, 2.5, actionLead, actionEmail), day.AddDate(0, 0, -20), "COMPLETED"),
			drafted(demoCampaign(day, "cmp-next", "Spring launch", 400_000, 1, actionLead)),
		},
	}
	for period := -3; !day.AddDate(0, 0, 30*period-42).After(now); period++ {
		from := day.AddDate(0, 0, 30*period-12)
		acme.Ledger = append(acme.Ledger, grantOf("plan", schemas.Paid, 100, 900_000, from, from.AddDate(0, 0, 30)))
	}
	acme.Ledger = append(acme.Ledger,
		grantOf("conference", schemas.Promo, 200, 60_000, day.AddDate(0, 0, -27), day.AddDate(0, 0, 3)),
		adjustmentOf(day.AddDate(0, 0, -5), "", 2_500, "thanks for the bug report"))

	globex := simWorkspace{
		ID: "demo-globex", Name: "Globex", Zone: "Europe/London", WeekStart: "monday",
		LivePerSecond: 0.8, PerDay: perDay(0.8), Units: demoUnits, Growth: 0.012,
		Refunds: 0.01, Unattributed: 0.02,
		Campaigns: []simCampaign{
			demoCampaign(day, "cmp-energy", "Energy buyers in the north", 260_000, 4, actionLead, actionCall),
			demoCampaign(day, "cmp-renewals", "Renewals before year end", 300_000, 3, actionEmail, actionCall),
			demoCampaign(day, "cmp-research", "Account research", 0, 2, actionResearch),
			paused(demoCampaign(day, "cmp-events", "Event follow-up", 90_000, 2, actionEmail, actionEnrichment), day.AddDate(0, 0, -9)),
		},
		Ledger: []schemas.Event{
			grantOf("starter", schemas.Paid, 100, 400_000, day.AddDate(0, 0, -60), day.AddDate(0, 0, -24)),
			grantOf("welcome", schemas.Promo, 50, 20_000, day.AddDate(0, 0, -60), day.AddDate(0, 0, -30)),
		},
	}
	// Its plan covers what it has used and two and a half days more.
	planFrom := day.AddDate(0, 0, -24)
	used, err := demoUse(globex, day, planFrom, day)
	if err != nil {
		return nil, err
	}
	perWeek, err := demoUse(globex, day, day.AddDate(0, 0, -7), day)
	if err != nil {
		return nil, err
	}
	plan := int64(used.Float() + perWeek.Float()/7*2.5)
	globex.Ledger = append(globex.Ledger, grantOf("plan", schemas.Paid, 100, plan, planFrom, day.AddDate(0, 0, 36)))
	for from := day.AddDate(0, 0, 36); !from.AddDate(0, 0, -60).After(now); from = from.AddDate(0, 0, 60) {
		globex.Ledger = append(globex.Ledger, grantOf("renewal", schemas.Paid, 100, 400_000, from, from.AddDate(0, 0, 60)))
	}

	initech := simWorkspace{
		ID: "demo-initech", Name: "Initech", Zone: "Asia/Kolkata", WeekStart: "monday",
		LivePerSecond: 0.5, PerDay: perDay(0.5), Units: demoUnits,
		Refunds: 0.06, Unattributed: 0.22,
		Campaigns: []simCampaign{
			demoCampaign(day, "cmp-reports", "Cover sheet reports", 200_000, 3, actionEmail, actionResearch),
			demoCampaign(day, "cmp-flair", "Flair", 0, 2, actionLead),
			paused(demoCampaign(day, "cmp-saturday", "Saturday shift", 60_000, 4, actionCall), day.AddDate(0, 0, -6)),
			paused(demoCampaign(day, "cmp-y2k", "Date migration", 80_000, 3, actionEnrichment), day.AddDate(0, 0, -15)),
			ended(demoCampaign(day, "cmp-printer", "Printer survey", 30_000, 1, actionEmail), day.AddDate(0, 0, -30), "COMPLETED"),
		},
		Ledger: []schemas.Event{
			grantOf("plan", schemas.Paid, 100, 480_000, day.AddDate(0, 0, -60), day.AddDate(0, 0, 5)),
			grantOf("trial", schemas.Promo, 300, 25_000, day.AddDate(0, 0, -60), day.AddDate(0, 0, -53)),
			grantOf("oversold", schemas.Paid, 150, 90_000, day.AddDate(0, 0, -40), time.Time{}),
			adjustmentOf(day.AddDate(0, 0, -10), "plan-"+day.AddDate(0, 0, -60).Format(time.DateOnly)+"-480000", -5_000, "billing correction"),
		},
	}
	void := schemas.Event{
		Type: schemas.GrantVoided, Time: schemas.MillisOf(day.AddDate(0, 0, -38)),
		GrantID: initech.Ledger[2].GrantID, Note: []byte("granted twice by mistake"), Actor: []byte("drawdown"),
	}
	initech.Ledger = append(initech.Ledger, void)
	world := []simWorkspace{acme, globex, initech}
	for i := range world {
		for j := range world[i].Ledger {
			// What begins later was agreed on the first day.
			world[i].Ledger[j].Time = min(world[i].Ledger[j].Time, schemas.MillisOf(day))
		}
	}
	return world, nil
}

// demoUse returns what a workspace uses in [from, until).
func demoUse(w simWorkspace, day, from, until time.Time) (schemas.Total, error) {
	sim, err := newSimulator(simOptions{Seed: demoSeed, From: from, Until: until, World: []simWorkspace{w}, Anchor: day})
	if err != nil {
		return schemas.Total{}, err
	}
	for {
		if _, ok := sim.Next(); !ok {
			return sim.totals().Credits, nil
		}
	}
}

func demoCampaign(day time.Time, id, name string, quota int64, weight float64, actions ...int) simCampaign {
	from := day.Add(-demoHistory)
	return simCampaign{
		ID: id, Name: name, Quota: schemas.Credits(quota) * schemas.MicrosPerCredit, Weight: weight, Actions: actions,
		From: from, StartsAt: from, EndsAt: day.AddDate(0, 0, 35),
		States: []simState{{At: from, Status: "ACTIVE"}},
	}
}

func paused(c simCampaign, at time.Time) simCampaign {
	c.Until = at
	c.States = append(c.States, simState{At: at, Status: "PAUSED"})
	return c
}

func ended(c simCampaign, at time.Time, status string) simCampaign {
	c.Until, c.EndsAt = at, at
	c.States = append(c.States, simState{At: at, Status: status})
	return c
}

func drafted(c simCampaign) simCampaign {
	c.Until = c.From
	c.StartsAt, c.EndsAt = time.Time{}, time.Time{}
	c.States[0].Status = "DRAFT"
	return c
}

// adjustmentOf changes a workspace's credits, or a grant's, by whole credits.
func adjustmentOf(at time.Time, grantID string, credits int64, reason string) schemas.Event {
	return schemas.Event{
		Type: schemas.CreditsAdjusted, Time: schemas.MillisOf(at), GrantID: []byte(grantID),
		Credits: schemas.Credits(credits) * schemas.MicrosPerCredit, Note: []byte(reason), Actor: []byte("drawdown"),
	}
}
