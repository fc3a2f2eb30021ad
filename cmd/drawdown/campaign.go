package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/drawdown/drawdown/schemas"
)

// campaignCmd is `drawdown campaign`: it says what a campaign is from now on.
type campaignCmd struct {
	Kafka      kafkaFlags      `embed:""`
	Clickhouse clickhouseFlags `embed:""`
	dataFlags

	Workspace string      `arg:"" help:"Workspace id."`
	Campaign  string      `arg:"" help:"Campaign id."`
	Name      string      `help:"Name for people."`
	Status    string      `enum:"ACTIVE,PAUSED,COMPLETED,DRAFT," default:"" help:"ACTIVE, PAUSED, COMPLETED or DRAFT."`
	Quota     string      `xor:"quota" help:"Credits it may use over its whole life."`
	NoQuota   bool        `name:"no-quota" xor:"quota" help:"It has no quota."`
	StartsAt  instantFlag `name:"starts-at" placeholder:"INSTANT" help:"When it starts."`
	EndsAt    instantFlag `name:"ends-at" placeholder:"INSTANT" help:"When it ends."`
	Replace   bool        `help:"Do not keep what is not given: state all of it anew."`
	EventID   string      `name:"event-id" placeholder:"ID" help:"Id of the event; by default a new one."`
}

// Run sends the full state of the campaign and prints the event's id once Kafka
// has it. An event always carries the full state, so what was not given is
// taken from the state that is counted.
func (c *campaignCmd) Run(ctx context.Context, env *env) error {
	ev := schemas.Event{
		Type: schemas.CampaignUpdated, ID: []byte(c.EventID),
		WorkspaceID: []byte(c.Workspace), CampaignID: []byte(c.Campaign),
		StartsAt: schemas.NoInstant, EndsAt: schemas.NoInstant,
	}
	if !c.Replace && !c.isComplete() {
		if err := c.current(ctx, &ev); err != nil {
			return fmt.Errorf("%w; give --name, --status, --quota or --no-quota, --starts-at and --ends-at, or state all of it with --replace", err)
		}
	}
	if err := c.apply(&ev); err != nil {
		return usageError{err}
	}
	return sendOne(ctx, env, c.Kafka, &ev)
}

func (c *campaignCmd) isComplete() bool {
	return c.Name != "" && c.Status != "" && (c.Quota != "" || c.NoQuota) && !c.StartsAt.IsZero() && !c.EndsAt.IsZero()
}

// apply puts what was given over the current state.
func (c *campaignCmd) apply(ev *schemas.Event) error {
	if c.Name != "" {
		ev.Name = []byte(c.Name)
	}
	if c.Status != "" {
		ev.Status = []byte(c.Status)
	}
	if c.NoQuota {
		ev.Quota, ev.HasQuota = 0, false
	}
	if c.Quota != "" {
		quota, err := schemas.ParseCredits(c.Quota)
		if err != nil {
			return err
		}
		ev.Quota, ev.HasQuota = quota, true
	}
	if !c.StartsAt.IsZero() {
		ev.StartsAt = c.StartsAt.millis()
	}
	if !c.EndsAt.IsZero() {
		ev.EndsAt = c.EndsAt.millis()
	}
	if len(ev.Name) == 0 {
		ev.Name = []byte(c.Campaign)
	}
	if len(ev.Status) == 0 {
		ev.Status = []byte("ACTIVE")
	}
	return nil
}

const campaignStateQuery = `
SELECT name, status, quota_micro, starts_at, ends_at
FROM campaigns
WHERE workspace_id = {workspace:String} AND campaign_id = {campaign:String}
ORDER BY time DESC, epoch DESC, koff DESC
LIMIT 1`

// current reads the state that is counted; a campaign without one is new.
func (c *campaignCmd) current(ctx context.Context, ev *schemas.Event) (err error) {
	conn, err := c.Clickhouse.open(ctx, c.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(clickhouse.Parameters{"workspace": c.Workspace, "campaign": c.Campaign}))
	rows, err := conn.Query(ctx, campaignStateQuery)
	if err != nil {
		return fmt.Errorf("cannot read the state of campaign %s: %w", c.Campaign, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if rows.Next() {
		var (
			name, status  string
			quota         *int64
			starts, ends  *time.Time
			instantOrNone = func(at *time.Time) schemas.Millis {
				if at == nil {
					return schemas.NoInstant
				}
				return schemas.MillisOf(*at)
			}
		)
		if err := rows.Scan(&name, &status, &quota, &starts, &ends); err != nil {
			return fmt.Errorf("cannot read the state of campaign %s: %w", c.Campaign, err)
		}
		ev.Name, ev.Status = []byte(name), []byte(status)
		ev.StartsAt, ev.EndsAt = instantOrNone(starts), instantOrNone(ends)
		if quota != nil {
			ev.Quota, ev.HasQuota = schemas.Credits(*quota), true
		}
	}
	return rows.Err()
}
