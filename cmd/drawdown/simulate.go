package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// simulateCmd is `drawdown simulate`: events whose totals are known.
type simulateCmd struct {
	Kafka kafkaFlags `embed:""`

	Workspaces int    `default:"20" help:"How many workspaces; the first are the largest."`
	Campaigns  int    `default:"12" help:"How many campaigns each workspace has."`
	Prefix     string `default:"sim-" help:"Prefix of the workspace ids."`
	Seed       uint64 `default:"1" help:"The same seed and options make the same events."`

	Events    int64         `placeholder:"N" help:"How many distinct events: of the history with --backfill, else of the live stream. Default: 300,000 for a history, else 100,000 unless --for is given."`
	For       time.Duration `name:"for" placeholder:"DURATION" help:"How long the live stream lasts, after the history if there is one."`
	Rate      float64       `default:"0" help:"Records per second of the live stream; 0: as fast as possible."`
	Backfill  daysFlag      `placeholder:"DAYS" help:"Make a history of so long, such as 56d, that ends at --until. Its events carry the header drawdown-import; making it again adds nothing."`
	Until     instantFlag   `placeholder:"INSTANT" help:"End of the history; default: the last midnight in UTC."`
	EventsTTL ttlFlag       `name:"events-ttl" env:"DRAWDOWN_EVENTS_TTL" default:"13mo" help:"How long raw events are kept; a history that is older is refused. 0: for ever."`

	Duplicates   float64 `default:"0.05" help:"Share of records that repeat an earlier one."`
	Late         float64 `default:"0.02" help:"Share of events that come late, by minutes to ten days."`
	Refunds      float64 `default:"0.01" help:"Share of events that give credits back."`
	Unattributed float64 `default:"0.03" help:"Share of events without a campaign."`
	Bursts       float64 `default:"0" help:"Share of the hours of the history in which a workspace uses ten times as much."`

	Totals string `placeholder:"FILE" help:"Write the totals per workspace, campaign, action and day as JSON; - is standard output instead of the table."`
}

// ttlFlag is --events-ttl.
type ttlFlag = schemas.EventsTTL

// Validate is called by kong; what it refuses is a usage error.
func (c *simulateCmd) Validate() error {
	switch {
	case c.Workspaces < 1 || c.Workspaces > 100_000:
		return errors.New("--workspaces must be 1 to 100,000")
	case c.Campaigns < 0 || c.Campaigns > 10_000:
		return errors.New("--campaigns must be 0 to 10,000")
	case c.Events < 0 || c.For < 0 || c.Rate < 0:
		return errors.New("--events, --for and --rate must not be negative")
	case c.Duplicates < 0 || c.Duplicates > 0.9:
		return errors.New("--duplicates must be a share from 0 to 0.9")
	}
	for name, share := range map[string]float64{"late": c.Late, "refunds": c.Refunds, "unattributed": c.Unattributed, "bursts": c.Bursts} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("--%s must be a share from 0 to 1", name)
		}
	}
	if !c.Until.IsZero() && c.Until.Truncate(time.Hour) != c.Until.Time {
		return errors.New("--until must be a whole hour")
	}
	if time.Duration(c.Backfill)%time.Hour != 0 {
		return errors.New("--backfill must be whole hours")
	}
	return nil
}

// Run sends the history, then the live stream, and prints the totals of both.
// Interrupted, it prints the totals of what it sent.
func (c *simulateCmd) Run(ctx context.Context, env *env) error {
	options, err := c.options(env.Now())
	if err != nil {
		return err
	}
	sim, err := newSimulator(options)
	if err != nil {
		return err
	}
	p, err := newProducer(ctx, c.Kafka, env.Log)
	if err != nil {
		return err
	}
	running := c.send(ctx, env, sim, p)
	err = p.Close(ctx)
	if err == nil && !errors.Is(running, context.Canceled) {
		err = running
	}
	totals := sim.totals()
	totals.Delivered = err == nil
	// The file first: whoever reads the table may stop reading.
	if c.Totals != "" {
		err = errors.Join(err, totals.save(c.Totals, env.Stdout))
	}
	if c.Totals != "-" {
		err = errors.Join(err, totals.print(env.Stdout))
	}
	return err
}

func (c *simulateCmd) options(now time.Time) (simOptions, error) {
	o := simOptions{
		Seed: c.Seed, Run: rand.Uint64(), Prefix: c.Prefix, Source: "/simulate",
		Workspaces: c.Workspaces, Campaigns: c.Campaigns,
		Refunds: c.Refunds, Unattributed: c.Unattributed, Bursts: c.Bursts, Late: c.Late, Duplicates: c.Duplicates,
		Start: now.UTC(),
	}
	if c.Backfill == 0 {
		return o, nil
	}
	o.Until = now.UTC().Truncate(24 * time.Hour)
	if !c.Until.IsZero() {
		o.Until = c.Until.Time
	}
	if o.Until.After(now) {
		return o, fmt.Errorf("--until %s has not come yet: a history ends in the past", o.Until.Format(time.RFC3339))
	}
	o.From = o.Until.Add(-time.Duration(c.Backfill))
	if limit := c.EventsTTL.ImportLateness(); limit > 0 && o.From.Before(now.Add(-limit)) {
		return o, fmt.Errorf("a history from %s on would be rejected as too late: with --events-ttl %s it may start at %s; make --backfill shorter, or keep events for ever with --events-ttl 0 here and at the consumers",
			o.From.Format(time.DateOnly), c.EventsTTL, now.Add(-limit).UTC().Format(time.DateOnly))
	}
	o.Events = c.Events
	if o.Events == 0 {
		o.Events = defaultBackfillEvents
	}
	o.ImportID = fmt.Sprintf("simulate-%d-%s", c.Seed, o.From.Format("20060102"))
	return o, nil
}

func (c *simulateCmd) send(ctx context.Context, env *env, sim *simulator, p *producer) error {
	for _, record := range sim.setup() {
		if err := p.Send(ctx, record.Topic, record.Key, record.Value); err != nil {
			return err
		}
	}
	if err := p.Flush(ctx); err != nil {
		return err
	}
	if c.Backfill > 0 {
		if err := sendHistory(ctx, env, sim, p); err != nil {
			return err
		}
		if c.For == 0 {
			return nil
		}
	}
	return c.sendLive(ctx, env, sim, p)
}

// sendHistory sends all of the simulator's history.
func sendHistory(ctx context.Context, env *env, sim *simulator, p *producer) error {
	before := p.Acked()
	bar := startProgress(env.Stderr, "history", sim.options.Events, func() int64 { return p.Acked() - before })
	defer bar.Stop()
	for {
		record, ok := sim.Next()
		if !ok {
			return p.Flush(ctx)
		}
		if err := p.Send(ctx, record.Topic, record.Key, record.Value, record.Headers...); err != nil {
			return err
		}
	}
}

// livePace is how often a stream of a given rate catches up with the clock:
// often enough for a smooth stream, rarely enough to cost nothing.
const livePace = 5 * time.Millisecond

// sendLive sends events that happen now.
func (c *simulateCmd) sendLive(ctx context.Context, env *env, sim *simulator, p *producer) error {
	limit := c.Events
	if limit == 0 && c.For == 0 {
		limit = 100_000
	}
	if c.Backfill > 0 {
		limit = 0 // the number was the history's
	}
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	before, distinct := p.Acked(), sim.distinct
	bar := startProgress(env.Stderr, "live", limit, func() int64 { return p.Acked() - before })
	defer bar.Stop()
	ticker := time.NewTicker(livePace)
	defer ticker.Stop()
	started, sent := time.Now(), 0
	for limit == 0 || sim.distinct-distinct < limit {
		if ctx.Err() != nil {
			break
		}
		if c.Rate > 0 && float64(sent) >= c.Rate*time.Since(started).Seconds() {
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
			continue
		}
		record := sim.Live(env.Now())
		sent++
		if err := p.Send(ctx, record.Topic, record.Key, record.Value); err != nil {
			return ignoreDeadline(err)
		}
	}
	return nil
}

// ignoreDeadline makes the end of --for a success.
func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
