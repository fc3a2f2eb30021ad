package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
	"github.com/drawdown/drawdown/schemas/rollup"
)

const (
	// glances is how often what a look is about is compared, for as long as figures
	// go on changing.
	glances = 8
	// endWithin is how long a look waits for the INSERTs to end that disturbed it.
	endWithin = 5 * time.Second
	lookPause = 50 * time.Millisecond
)

// quiet is what is known of a partition at an instant.
type quiet struct {
	end     int64    // of the ledger, or of what is done if that is more
	past    bool     // rows lie past the end of the ledger
	running []string // INSERTs under way, by their id
}

func (q *quiet) busy() bool { return q.past || len(q.running) > 0 }

// quietQuery reads INSERTs of a partition under way, and whether there are rows
// past its ledger. What is done is past no ledger, though a row of that is lost.
const quietQuery = `
WITH greatest(
    (SELECT if(count() = 0, -1, toInt64(max(last))) FROM ingest_batches WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16}),
    (SELECT toInt64(max(next_offset)) - 1 FROM ingest_progress WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16})) AS ended
SELECT ended, (SELECT groupArray(query_id) FROM system.processes WHERE startsWith(query_id, {prefix:String})),
    (SELECT count() FROM events WHERE {raw:UInt8} = 1 AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND koff > ended)`

func (a *Auditor) quiet(ctx context.Context, p partition) (q quiet, err error) {
	bound := a.bound()
	bound.String("topic", p.topic)
	bound.Integer("kpart", int64(p.id))
	bound.String("prefix", fmt.Sprintf("drawdown/%s/%d/%d/", p.topic, a.cfg.Epoch, p.id))
	raw := int64(0)
	if p.topic == a.cfg.Topics.Consumption {
		raw = 1
	}
	bound.Integer("raw", raw)
	err = a.query(ctx, "whether "+p.String()+" rests", quietQuery, bound, func(scan func(...any) error) error {
		var past uint64
		err := scan(&q.end, &q.running, &past)
		q.past = past > 0
		return err
	})
	return q, err
}

// ended says that all INSERTs into a partition that were under way at an instant
// have ended, and their batches are done: batches go in one after the other, so
// when two are done since, the second began after it.
func (a *Auditor) ended(ctx context.Context, p partition, at *quiet) (ended bool, err error) {
	const query = `
SELECT (SELECT count() FROM system.processes WHERE query_id IN {running:Array(String)}) = 0
    AND (SELECT uniqExact(first) FROM ingest_batches WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND toInt64(first) > {end:Int64}) >= 2`
	bound := a.bound()
	bound.String("topic", p.topic)
	bound.Integer("kpart", int64(p.id))
	bound.Integer("end", at.end)
	bound.Strings("running", at.running)
	var yes uint8
	err = a.query(ctx, "whether "+p.String()+" has got on", query, bound, func(scan func(...any) error) error { return scan(&yes) })
	return yes == 1, err
}

// group are findings that one look is about.
type group struct {
	partition
	what string
	day  schemas.Millis // of hours
	all  []audits.Finding
}

// groups puts findings together: each range by itself, hours by day.
func groups(findings []audits.Finding) (all []group) {
	for _, f := range findings {
		g := group{partition: partition{f.Topic, f.Partition}, what: f.What, day: f.Hour - f.Hour%dayMillis}
		at := -1
		if !f.Range() {
			at = slices.IndexFunc(all, func(other group) bool {
				return other.partition == g.partition && other.what == g.what && other.day == g.day && !other.all[0].Range()
			})
		}
		if at < 0 {
			all, at = append(all, g), len(all)
		}
		all[at].all = append(all[at].all, f)
	}
	return all
}

// again compares what a group is about; end is the last offset that is done.
func (a *Auditor) again(ctx context.Context, g *group, end int64) ([]audits.Finding, error) {
	if f := &g.all[0]; f.Range() {
		bound := rollup.Parameters{}
		bound.Integer("first", f.First-1)
		bound.Integer("last", f.Last+1)
		batches, err := a.readLedger(ctx, g.partition, "last >= {first:Int64} AND first <= {last:UInt64}", bound, "ASC")
		if err != nil {
			return nil, err
		}
		covered := slices.ContainsFunc(batches, func(b batch) bool { return b.last >= f.First && b.first <= f.Last })
		if g.what == audits.Batches && !covered && f.Last <= end {
			batches = []batch{a.endAt(f.First - 1), a.endAt(f.Last + 1)}
		}
		seen, _, err := a.compareRanges(ctx, g.partition, batches, g.what)
		seen = slices.DeleteFunc(seen, func(other audits.Finding) bool { return other.First != f.First || other.Last != f.Last })
		for i := range seen {
			seen[i].Place = f.Place // what stands beside a gap may be another one now
		}
		return seen, err
	}
	level := rollup.Levels[slices.IndexFunc(rollup.Levels, func(l rollup.Level) bool { return l.Table == g.what })]
	from, to := g.all[0].Hour, g.all[0].Hour
	var workspaces []string
	for i := range g.all {
		from, to = min(from, g.all[i].Hour), max(to, g.all[i].Hour)
		workspaces = append(workspaces, g.all[i].WorkspaceID)
	}
	slices.Sort(workspaces)
	workspaces = slices.Compact(workspaces)
	s := span{from, to + hourMillis}
	// All that there can be: what is not among them would pass for mended.
	return a.compareHours(ctx, &level, s, workspaces, len(workspaces)*int(s.days())*int(dayMillis/hourMillis))
}

// cleanly looks at what differs so that no INSERT deceives it, and returns what it
// sees, and at which places it could look (rule 1). It waits for no partition
// that is in vain, and puts in those for which it has waited in vain: one that
// was stopped in the middle of a batch stays as it is.
func (a *Auditor) cleanly(ctx context.Context, findings []audits.Finding, vain map[partition]bool) (seen []audits.Finding, looked map[audits.Place]bool, err error) {
	looked = make(map[audits.Place]bool)
	for _, g := range groups(findings) {
		var last *glance
		began := time.Now()
		for n := 0; len(g.all) > 0 && n < glances && time.Since(began) < endWithin && ctx.Err() == nil; {
			now, err := a.glance(ctx, &g, last)
			if err != nil {
				return nil, nil, err
			}
			if now == nil && vain[g.partition] {
				break
			}
			if now == nil { // nothing to see yet
				pause(ctx)
				continue
			}
			g.all = slices.DeleteFunc(g.all, func(f audits.Finding) bool {
				shown, there := now.shown[f.Place]
				if changing := last == nil || last.shown[f.Place] != shown; there && changing && !now.rests {
					return false
				}
				if there {
					f.Difference = shown
					seen = append(seen, f)
				}
				looked[f.Place] = true
				return true
			})
			n, last, began = n+1, now, time.Now()
		}
		if len(g.all) > 0 && time.Since(began) >= endWithin {
			vain[g.partition] = true
		}
	}
	return seen, looked, ctx.Err()
}

// glance is what a group looked like.
type glance struct {
	shown map[audits.Place]audits.Difference
	rests bool  // nothing went on meanwhile
	after quiet // what went on afterwards
}

// glance compares a group while its partition rests, or once all has ended that
// went on at the last glance; else it returns nil.
func (a *Auditor) glance(ctx context.Context, g *group, last *glance) (*glance, error) {
	before, err := a.quiet(ctx, g.partition)
	if err != nil {
		return nil, err
	}
	if before.busy() && last != nil {
		if ended, err := a.ended(ctx, g.partition, &last.after); err != nil || !ended {
			return nil, err
		}
	}
	found, err := a.again(ctx, g, before.end)
	if err != nil {
		return nil, err
	}
	now := &glance{shown: make(map[audits.Place]audits.Difference, len(found))}
	for i := range found {
		now.shown[found[i].Place] = found[i].Difference
	}
	if now.after, err = a.quiet(ctx, g.partition); err != nil {
		return nil, err
	}
	now.rests = !before.busy() && !now.after.busy() && now.after.end == before.end
	return now, nil
}

func pause(ctx context.Context) {
	timer := time.NewTimer(lookPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// look looks at what a comparison has shown and records what is really there. It
// returns what it could not look at, for INSERTs changed it all the time: that is
// to be compared again.
func (c *cycles) look(ctx context.Context, candidates []audits.Finding) (left []audits.Finding, err error) {
	candidates = slices.DeleteFunc(candidates, func(f audits.Finding) bool { return c.known(&f) })
	if len(candidates) == 0 {
		return nil, nil
	}
	seen, looked, err := c.a.cleanly(ctx, candidates, c.vain)
	if err != nil {
		return nil, err
	}
	for _, f := range candidates {
		if !looked[f.Place] {
			left = append(left, f)
		}
	}
	if len(left) > 0 {
		c.a.log.InfoContext(ctx, "differences could not be looked at, for their partition goes on changing or stands in the middle of a batch", "places", len(left), "first", left[0].String())
	}
	return left, c.found(ctx, seen)
}

// known says that a difference is recorded already.
func (c *cycles) known(f *audits.Finding) bool {
	open, ok := c.open[f.Place]
	return ok && (open.State == audits.Drift || open.Fingerprint == f.Fingerprint)
}

// lookAgain looks a second time at what was seen long enough ago (rule 2).
func (c *cycles) lookAgain(ctx context.Context) error {
	var due []audits.Finding
	for _, f := range c.open {
		if f.Step == audits.Seen && f.State == audits.Drift && c.a.now()-f.FirstSeenAt >= schemas.Millis(c.a.cfg.ConfirmAfter.Milliseconds()) {
			due = append(due, *f)
		}
	}
	if len(due) == 0 {
		return nil
	}
	seen, looked, err := c.a.cleanly(ctx, due, c.vain)
	if err != nil {
		return err
	}
	var said []audits.Finding
	for _, f := range due {
		if !looked[f.Place] {
			continue
		}
		at := slices.IndexFunc(seen, func(s audits.Finding) bool { return s.Place == f.Place })
		switch {
		case at < 0:
			f.State, f.Step, f.SettledAt, f.Note = audits.Fine, audits.Settled, c.a.now(), "it was not there when looked at again"
		case seen[at].Fingerprint != f.Fingerprint:
			// Another difference: it is to be seen twice as well.
			f.Difference, f.State, f.Step, f.SettledAt, f.Note = seen[at].Difference, audits.Fine, audits.Settled, c.a.now(), "it was another difference when looked at again"
			seen = append(seen, seen[at])
		default:
			decided := c.decide(&f)
			if !decided {
				continue
			}
		}
		said = append(said, f)
	}
	if err := c.a.write(ctx, said...); err != nil {
		return err
	}
	for i := range said {
		f := &said[i]
		if f.State == audits.Fine {
			delete(c.open, f.Place)
		} else {
			c.open[f.Place] = f
			c.a.log.ErrorContext(ctx, "the audit confirms drift", "place", f.String(), "state", f.State, "expected", f.Expected, "found", f.Found,
				"expected_credits", f.ExpectedMicro, "found_credits", f.FoundMicro, "note", f.Note)
		}
	}
	return c.found(ctx, slices.DeleteFunc(seen, func(s audits.Finding) bool { _, open := c.open[s.Place]; return open }))
}

// decide says what is to become of a difference that was seen twice: it is
// confirmed, or unprovable (rules 3 and 4), or it has to wait.
func (c *cycles) decide(f *audits.Finding) bool {
	if f.What == rollup.Levels[0].Table {
		if f.Hour < c.unprovableBefore(partition{f.Topic, f.Partition}) {
			f.State, f.Step, f.SettledAt = audits.Unprovable, audits.Settled, c.a.now()
			f.Note = "raw events of its partition are missing that Kafka no longer has, so what is right is not known"
			return true
		}
		if f.Hour < c.place.earlier {
			f.State, f.Step, f.SettledAt = audits.Unprovable, audits.Settled, c.a.now()
			f.Note = "topics of an earlier epoch may have counted into the hour: they cannot be read again, so what is right is not known"
			return true
		}
		if !c.proven(f) {
			return false
		}
	}
	f.Step, f.ConfirmedAt = audits.Confirmed, c.a.now()
	return true
}
