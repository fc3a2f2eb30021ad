package aggregator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// watch is what an owner of partitions knows of them.
type watch struct {
	a     *Aggregator
	parts []*part
}

// part is a partition that is owned.
type part struct {
	id         int
	known      rollup.Progress // up to which everything was looked at
	begun      bool
	workspaces map[string]*workspace
	// projectedAt is when its workspaces were projected last, by the clock.
	projectedAt time.Time
	// rulesCount is how many rows of rules there were when they were read.
	rulesCount uint64
	rulesKnown bool
	rulesAt    time.Time // when that was looked at last
	watch      alerts.Watch
	again      map[string]bool // workspaces that are to be looked at again
}

const (
	// readChunk is how many workspaces one statement is about.
	readChunk = 500
	// rulesEvery is how often new rules are looked for.
	rulesEvery = 3 * time.Second
	// projectEvery is how often changed workspaces are projected anew; with
	// what a look takes it keeps projections younger than two minutes.
	projectEvery = 30 * time.Second
)

func newWatch(a *Aggregator, partitions []int) *watch {
	w := &watch{a: a}
	for _, id := range partitions {
		w.parts = append(w.parts, &part{id: id, workspaces: make(map[string]*workspace), again: make(map[string]bool)})
	}
	return w
}

// look looks at the workspaces of which something was counted since the last
// one, and at all when another minute of the watermark has begun.
func (w *watch) look(ctx context.Context) error {
	progress, err := w.a.readProgress(ctx)
	if err != nil {
		return err
	}
	touched, err := w.touched(ctx, progress)
	if err != nil {
		return err
	}
	var failed []error
	for _, p := range w.parts {
		if ctx.Err() != nil {
			break
		}
		// One partition's trouble is not another's.
		if err := w.lookAt(ctx, p, progress.Of(p.id, w.a.cfg.Topics), touched[p.id]); err != nil {
			failed = append(failed, fmt.Errorf("partition %d: %w", p.id, err))
		}
	}
	return errors.Join(failed...)
}

// touch is a workspace of which events were counted, and the earliest of them.
type touch struct {
	id    string
	first schemas.Millis
}

// touched returns the workspaces of which events were counted since the last
// look; all of a partition that was never looked at.
func (w *watch) touched(ctx context.Context, progress rollup.Progresses) (map[int][]touch, error) {
	touched := make(map[int][]touch)
	bound := rollup.Parameters{}
	var parts, offsets []string
	least, all := uint64(1)<<63, make(map[int]bool)
	for _, p := range w.parts {
		now := progress.Of(p.id, w.a.cfg.Topics)
		switch {
		case now.Watermark == schemas.NoInstant:
		case !p.begun:
			all[p.id] = true
		case now.Consumption > p.known.Consumption:
			parts = append(parts, strconv.Itoa(p.id))
			offsets = append(offsets, strconv.FormatUint(p.known.Consumption, 10))
			least = min(least, p.known.Consumption)
		}
	}
	// Nobody reads both of a partition: a list of all says nothing of when.
	take := func(listed bool) func(func(...any) error) error {
		return func(scan func(...any) error) error {
			var id string
			var first time.Time
			err := scan(&id, &first)
			if p := schemas.Partition([]byte(id), w.a.cfg.Partitions); all[p] == listed {
				touched[p] = append(touched[p], touch{id, millisOf(first)})
			}
			return err
		}
	}
	if len(all) > 0 {
		if err := w.a.query(ctx, "the workspaces", idsQuery, rollup.Parameters{}, take(true)); err != nil {
			return nil, err
		}
	}
	if len(parts) == 0 {
		return touched, nil
	}
	bound.Integer("epoch", int64(w.a.cfg.Epoch))
	bound["parts"] = "[" + strings.Join(parts, ",") + "]"
	bound["offsets"] = "[" + strings.Join(offsets, ",") + "]"
	bound["least"] = strconv.FormatUint(least, 10)
	return touched, w.a.query(ctx, "what was counted", touchedQuery, bound, take(false))
}

// lookAt looks at a partition.
func (w *watch) lookAt(ctx context.Context, p *part, now rollup.Progress, touched []touch) error {
	if now.Watermark == schemas.NoInstant {
		return nil
	}
	clock := w.a.cfg.Now()
	p.watch = p.watch.See(now.Watermark, millisOf(clock))
	looked := maps.Clone(p.again)
	if elapsed := clock.Sub(p.rulesAt); elapsed < 0 || elapsed >= rulesEvery {
		if err := w.readRules(ctx, p, looked); err != nil {
			return err
		}
		p.rulesAt = clock
	}
	if err := w.observe(ctx, p, millisOf(clock)); err != nil {
		return err
	}
	if p.watch.Stale(millisOf(clock)) {
		maps.Copy(p.again, looked) // evaluated when it moves again
		return nil
	}
	for id, ws := range p.workspaces {
		if ws.lifeOld && ws.lifeDue(clock) {
			looked[id] = true
		}
	}
	minute := now.Watermark/minuteMillis != p.known.Watermark/minuteMillis
	if p.begun && now.Revision == p.known.Revision && !minute && len(looked) == 0 {
		return nil
	}
	begin := time.Now()
	for _, t := range touched {
		looked[t.id] = true
		ws := p.workspace(t.id)
		ws.changed = true
		ws.series.touch(t.first)
	}
	if err := w.readChanges(ctx, p, now, looked); err != nil {
		return err
	}
	if minute {
		for id := range p.workspaces {
			looked[id] = true
		}
	}
	if err := w.readRules(ctx, p, looked); err != nil { // of workspaces that are new
		return err
	}
	if !p.begun {
		// The first projection reads all hours: who has just taken over does not
		// let alerts of what is left and used wait for it.
		if _, err := w.evaluate(ctx, p, slices.Sorted(maps.Keys(looked)), now.Watermark); err != nil {
			return err
		}
	}
	// Rules do without what cannot be projected, and other workspaces without
	// one that cannot be evaluated; both are tried again by themselves.
	projected := w.project(ctx, p, now.Watermark)
	evaluated, err := w.evaluate(ctx, p, slices.Sorted(maps.Keys(looked)), now.Watermark)
	if err != nil {
		return errors.Join(projected, err)
	}
	p.known, p.begun = now, true
	w.a.metrics.lookSeconds.Observe(time.Since(begin).Seconds())
	return errors.Join(projected, evaluated)
}

func (p *part) workspace(id string) *workspace {
	found, ok := p.workspaces[id]
	if !ok {
		found = newWorkspace(id)
		p.workspaces[id] = found
	}
	return found
}

// ids returns the workspaces of the partition in order.
func (p *part) ids() []string {
	ids := make([]string, 0, len(p.workspaces))
	for id := range p.workspaces {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// readChanges reads ledgers and states anew of workspaces of which something was
// said, and notes whose they are. New workspaces may be named by them alone.
func (w *watch) readChanges(ctx context.Context, p *part, now rollup.Progress, looked map[string]bool) error {
	ledgers, states, err := w.said(ctx, p, now)
	if err != nil {
		return err
	}
	for id, ws := range p.workspaces {
		if !p.begun || ws.states == nil { // never read
			ledgers[id], states[id] = true, true
		}
	}
	for _, c := range []struct {
		ids  map[string]bool
		read func(context.Context, *part, []string, map[string]bool) error
	}{{ledgers, w.readEntries}, {states, w.readSettings}, {states, w.readStates}} {
		for chunk := range slices.Chunk(slices.Sorted(maps.Keys(c.ids)), readChunk) {
			if err := c.read(ctx, p, chunk, looked); err != nil {
				return err
			}
		}
	}
	return nil
}

// said returns the workspaces to whose ledger, and of which to what was said of
// campaigns and of themselves, something was added since it was read.
func (w *watch) said(ctx context.Context, p *part, now rollup.Progress) (ledgers, states map[string]bool, err error) {
	ledgers, states = make(map[string]bool), make(map[string]bool)
	if !p.begun || now.Ledger == p.known.Ledger && now.States == p.known.States {
		return ledgers, states, nil
	}
	bound := rollup.Parameters{}
	bound.Integer("epoch", int64(w.a.cfg.Epoch))
	bound.Integer("part", int64(p.id))
	bound["ledger"] = strconv.FormatUint(p.known.Ledger, 10)
	bound["states"] = strconv.FormatUint(p.known.States, 10)
	err = w.a.query(ctx, "what was said", saidQuery, bound, func(scan func(...any) error) error {
		var id string
		var ledger bool
		err := scan(&id, &ledger)
		if schemas.Partition([]byte(id), w.a.cfg.Partitions) != p.id {
			return err
		}
		p.workspace(id)
		if ledger {
			ledgers[id] = true
		} else {
			states[id] = true
		}
		return err
	})
	return ledgers, states, err
}

func (w *watch) readEntries(ctx context.Context, p *part, ids []string, looked map[string]bool) error {
	ledgers := make(map[string][]balance.Entry)
	bound := rollup.Parameters{}
	bound.Strings("workspaces", ids)
	err := w.a.query(ctx, "ledgers", entriesQuery, bound, func(scan func(...any) error) error {
		var id string
		e, err := balance.ScanEntry(scan, &id)
		ledgers[id] = append(ledgers[id], e)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if ws := p.workspaces[id]; len(ws.entries) != len(ledgers[id]) {
			ws.entries, ws.changed, looked[id] = ledgers[id], true, true
		}
	}
	return nil
}

func (w *watch) readStates(ctx context.Context, p *part, ids []string, looked map[string]bool) error {
	states := make(map[string]map[string]*campaignState, len(ids))
	for _, id := range ids {
		states[id] = make(map[string]*campaignState)
	}
	bound := rollup.Parameters{}
	bound.Strings("workspaces", ids)
	err := w.a.query(ctx, "campaigns", statesQuery, bound, func(scan func(...any) error) error {
		var (
			id, campaignID, name, status string
			at, arrivedAt                time.Time
			quota                        *int64
			startsAt, endsAt             *time.Time
		)
		if err := scan(&id, &campaignID, &at, &name, &status, &quota, &startsAt, &endsAt, &arrivedAt); err != nil {
			return err
		}
		state, ok := states[id][campaignID]
		if !ok {
			state = &campaignState{since: millisOf(at)}
			states[id][campaignID] = state
		}
		state.say(millisOf(at), name, status, quota, startsAt, endsAt)
		state.arrivedAt = max(state.arrivedAt, millisOf(arrivedAt))
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if ws := p.workspaces[id]; ws.states == nil || !maps.EqualFunc(ws.states, states[id], (*campaignState).equal) {
			ws.states, ws.changed, looked[id] = states[id], true, true
		}
	}
	return nil
}

func (w *watch) readSettings(ctx context.Context, p *part, ids []string, looked map[string]bool) error {
	bound := rollup.Parameters{}
	bound.Strings("workspaces", ids)
	return w.a.query(ctx, "settings", settingsQuery, bound, func(scan func(...any) error) error {
		var id, name, zone string
		if err := scan(&id, &name, &zone); err != nil {
			return err
		}
		if ws := p.workspaces[id]; ws.name != name || ws.zoneName != zone {
			ws.name, ws.zoneName, ws.zone = name, zone, time.UTC
			// A zone that this machine's tzdata does not have yet stops nothing.
			if location, err := time.LoadLocation(zone); err == nil {
				ws.zone = location
			}
			ws.changed, looked[id] = true, true
		}
		return nil
	})
}
