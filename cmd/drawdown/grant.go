package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/drawdown/drawdown/schemas"
)

// grantCmd is `drawdown grant`: entries of the ledger of credits.
type grantCmd struct {
	Add    grantAddCmd    `cmd:"" default:"withargs" help:"Grant credits to a workspace (the default)."`
	Adjust grantAdjustCmd `cmd:"" help:"Add or take away credits; this is never usage."`
	Void   grantVoidCmd   `cmd:"" help:"Take back what is left of a grant."`
}

// entryFlags are what all entries of the ledger have.
type entryFlags struct {
	Kafka   kafkaFlags `embed:""`
	Actor   string     `default:"drawdown" help:"Who does it; shown in the history."`
	EventID string     `name:"event-id" placeholder:"ID" help:"Id of the event; by default a new one. The same id again is counted once."`
}

type grantAddCmd struct {
	entryFlags
	Workspace   string      `arg:"" help:"Workspace id."`
	Credits     string      `arg:"" help:"Credits, such as 1000 or 12.5."`
	GrantID     string      `name:"grant-id" placeholder:"ID" help:"Id of the grant; by default a new one. The same id with the same terms is the same grant."`
	Class       string      `enum:"paid,promo" default:"paid" help:"paid or promo."`
	Priority    uint16      `default:"100" help:"0 to 1000; grants of a lower priority are used first."`
	EffectiveAt instantFlag `name:"effective-at" placeholder:"INSTANT" help:"When the credits can be used from; by default now. Whole minutes count."`
	ExpiresAt   instantFlag `name:"expires-at" placeholder:"INSTANT" help:"When they expire; by default never."`
	Note        string      `help:"Shown in the history."`
}

// Run sends the grant and prints its ids once Kafka has it.
func (c *grantAddCmd) Run(ctx context.Context, env *env) error {
	credits, err := schemas.ParseCredits(c.Credits)
	if err != nil {
		return usageError{err}
	}
	class := schemas.Paid
	if c.Class == "promo" {
		class = schemas.Promo
	}
	effective := c.EffectiveAt.millis()
	if effective == schemas.NoInstant {
		effective = schemas.MillisOf(env.Now())
	}
	ev := schemas.Event{
		Type: schemas.CreditsGranted, WorkspaceID: []byte(c.Workspace), Credits: credits,
		GrantID: []byte(cmp.Or(c.GrantID, "grant-"+newEventID())), Class: class, Priority: c.Priority,
		EffectiveAt: effective, ExpiresAt: c.ExpiresAt.millis(), Note: []byte(c.Note),
	}
	return c.send(ctx, env, &ev)
}

type grantAdjustCmd struct {
	entryFlags
	Workspace string `arg:"" help:"Workspace id."`
	Credits   string `arg:"" help:"Credits to add, such as 100, or to take away, such as -- -100."`
	GrantID   string `name:"grant-id" placeholder:"ID" help:"Adjust what is left of this grant; by default the workspace."`
	Reason    string `help:"Shown in the history."`
}

// Run sends the adjustment and prints its id once Kafka has it.
func (c *grantAdjustCmd) Run(ctx context.Context, env *env) error {
	credits, err := schemas.ParseCredits(c.Credits)
	if err != nil {
		return usageError{err}
	}
	return c.send(ctx, env, &schemas.Event{
		Type: schemas.CreditsAdjusted, WorkspaceID: []byte(c.Workspace), Credits: credits,
		GrantID: []byte(c.GrantID), Note: []byte(c.Reason),
	})
}

type grantVoidCmd struct {
	entryFlags
	Workspace string `arg:"" help:"Workspace id."`
	GrantID   string `arg:"" name:"grant-id" help:"Id of the grant."`
	Reason    string `help:"Shown in the history."`
}

// Run sends the void and prints its id once Kafka has it.
func (c *grantVoidCmd) Run(ctx context.Context, env *env) error {
	return c.send(ctx, env, &schemas.Event{
		Type: schemas.GrantVoided, WorkspaceID: []byte(c.Workspace), GrantID: []byte(c.GrantID), Note: []byte(c.Reason),
	})
}

func (f *entryFlags) send(ctx context.Context, env *env, ev *schemas.Event) error {
	ev.ID, ev.Actor = []byte(f.EventID), []byte(f.Actor)
	if err := sendOne(ctx, env, f.Kafka, ev); err != nil {
		return err
	}
	if ev.Type == schemas.CreditsGranted {
		fmt.Fprintf(env.Stdout, "grant %s\n", ev.GrantID)
	}
	return nil
}

func newEventID() string { return uuid.Must(uuid.NewV7()).String() }

// sendTimeout is how long a command that sends one event tries; after it the
// person is asked to look at Kafka.
const sendTimeout = 30 * time.Second

// sendOne completes an event (id, time, source), checks it as the consumer
// will, sends it, and prints its id once Kafka has acknowledged it.
func sendOne(ctx context.Context, env *env, flags kafkaFlags, ev *schemas.Event) error {
	ev.Source = []byte("/drawdown/cli")
	ev.Time = schemas.MillisOf(env.Now())
	if len(ev.ID) == 0 {
		ev.ID = []byte(newEventID())
	}
	value := schemas.EncodeEvent(ev)
	record := schemas.Record{Key: ev.WorkspaceID, Value: value, Timestamp: ev.Time}
	var decoded schemas.Event
	if rejection := schemas.NewDecoder(schemas.DefaultLimits()).Decode(ev.Type.Topic(), &record, &decoded); rejection != nil {
		return usageError{fmt.Errorf("this would be rejected: %w", rejection)}
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	p, err := newProducer(ctx, flags, env.Log)
	if err != nil {
		return err
	}
	err = p.Send(ctx, ev.Type.Topic(), ev.WorkspaceID, value)
	if err := errors.Join(err, p.Close(ctx)); err != nil {
		return fmt.Errorf("cannot send event %s: %w; send it again with --event-id %s and the same content, so that it counts once", ev.ID, err, ev.ID)
	}
	fmt.Fprintf(env.Stdout, "event %s\n", ev.ID)
	return nil
}
