package audit

import (
	"context"
	"errors"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
	"github.com/drawdown/drawdown/schemas/rollup"
)

const (
	// maxFindings bounds what one comparison of a rollup returns of a day, beside what
	// is recorded already; what is beyond is found later, for its hours stay dirty.
	maxFindings = 1000
	// maxRecorded bounds what findings take of memory, to some 50 MB: with so many,
	// a comparison returns but one more.
	maxRecorded = 100_000
	// dayEvents is up to how many events a day is compared by one statement, and
	// else hour by hour: some seconds of reading.
	dayEvents = 10_000_000
	// maxDays is how many days with few events are compared by one statement.
	maxDays = 31
)

// span is an interval of whole hours.
type span struct{ from, to schemas.Millis }

// days is in how many UTC days it lies.
func (s span) days() int64 {
	return int64((s.to+dayMillis-1)/dayMillis - s.from/dayMillis)
}

// compareHours compares a rollup with its source in an interval; workspaces nil
// are all of them. It returns the first differences, up to a limit.
func (a *Auditor) compareHours(ctx context.Context, l *rollup.Level, s span, workspaces []string, limit int) (wrong []audits.Finding, err error) {
	bound, condition := a.bound(), "1"
	if l.Bucket > time.Hour {
		s.from -= s.from % dayMillis
		s.to = (s.to + dayMillis - 1) / dayMillis * dayMillis
	}
	bound.Integer("from", int64(s.from))
	bound.Integer("to", int64(s.to))
	bound.Integer("limit", int64(limit))
	if workspaces != nil {
		bound.Strings("workspaces", workspaces)
		condition = "s.workspace_id IN {workspaces:Array(String)}"
	}
	err = a.query(ctx, "whether "+l.Table+" agrees with its source", hoursQuery(l, condition), bound, func(scan func(...any) error) error {
		f := audits.Finding{Place: audits.Place{Topic: a.cfg.Topics.Consumption, Epoch: a.cfg.Epoch, What: l.Table}}
		var hour int64
		var expected, found big.Int
		err := scan(&f.WorkspaceID, &hour, &f.Keys, &f.Fingerprint, &f.Expected, &f.Found, &expected, &found)
		if err != nil {
			return err
		}
		f.Hour = schemas.Millis(hour) * 1000
		f.Partition = schemas.Partition([]byte(f.WorkspaceID), a.cfg.Partitions)
		if f.ExpectedMicro, err = schemas.TotalFromBig(&expected); err != nil {
			return err
		}
		f.FoundMicro, err = schemas.TotalFromBig(&found)
		wrong = append(wrong, f)
		return err
	})
	return wrong, err
}

// hoursQuery adds up, per workspace and hour, the keys that differ. The hash is
// of the difference alone, which stays the same while both sides grow.
func hoursQuery(l *rollup.Level, condition string) string {
	return `
SELECT workspace_id, toInt64(toUnixTimestamp(toStartOfHour(start))) AS hour, count(), groupBitXor(cityHash64(start, campaign_id, action, ec - fc, er - fr, en - fn)),
    sum(en), sum(fn), sum(ec), sum(fc)
FROM (
    SELECT workspace_id, start, campaign_id, action, sum(c) AS ec, sum(cf) AS fc, sum(r) AS er, sum(rf) AS fr, sum(n) AS en, sum(nf) AS fn
    FROM (
` + l.Compared(condition) + `
    )
    GROUP BY workspace_id, start, campaign_id, action
    HAVING ec != fc OR er != fr OR en != fn
)
GROUP BY workspace_id, hour ORDER BY hour, workspace_id LIMIT {limit:UInt32}`
}

// auditHours compares every rollup in an interval, and returns the hours that are
// to be compared again.
func (c *cycles) auditHours(ctx context.Context, s span) (again []schemas.Millis, err error) {
	for i := range rollup.Levels {
		l := &rollup.Levels[i]
		limit := c.recorded(l.Table, s) + max(1, min(maxFindings*int(s.days()), maxRecorded-len(c.open)))
		wrong, err := c.a.compareHours(ctx, l, s, nil, limit)
		if err != nil {
			return nil, err
		}
		left, err := c.look(ctx, wrong)
		if err != nil {
			return nil, err
		}
		for _, f := range left {
			again = append(again, max(f.Hour, c.place.provableFrom)) // a day may begin before it
		}
		if len(wrong) == limit {
			// There may be more: they come in the order of time.
			for hour := max(wrong[limit-1].Hour, s.from); hour < s.to; hour += hourMillis {
				again = append(again, hour)
			}
		}
	}
	slices.Sort(again)
	return slices.Compact(again), nil
}

// recorded is how many differences of a rollup are known in the days of an interval
// that are not settled, or are left as they are.
func (c *cycles) recorded(table string, s span) (n int) {
	for _, f := range c.open {
		if f.What == table && f.Hour >= s.from-s.from%dayMillis && f.Hour < s.to {
			n++
		}
	}
	return n
}

// watermark is before which every record of every partition has been counted.
func (c *cycles) watermark() schemas.Millis {
	mark := rollup.End
	for id := range c.a.cfg.Partitions {
		at := c.progress.Of(id, c.a.cfg.Topics).Watermark
		if at == schemas.NoInstant {
			return schemas.NoInstant
		}
		mark = min(mark, at)
	}
	return mark
}

// firstQuery finds the first instants of which something is known.
const firstQuery = `
SELECT toInt64(toUnixTimestamp(min(time))) * 1000, count() FROM events
UNION ALL
SELECT toInt64(toUnixTimestamp(min(bucket))) * 1000, count() FROM usage_1d`

// floor finds from where on everything can be proven (rule 5).
func (c *cycles) floor(ctx context.Context) error {
	first := c.place.provableFrom
	if first == schemas.NoInstant {
		err := c.a.query(ctx, "the first event", firstQuery, c.a.bound(), func(scan func(...any) error) error {
			var at int64
			var n uint64
			err := scan(&at, &n)
			if known := schemas.Millis(at); n > 0 && (first == schemas.NoInstant || known < first) {
				first = known
			}
			return err
		})
		if err != nil || first == schemas.NoInstant {
			return err
		}
	}
	return c.provableFrom(ctx, first)
}

// provableFrom says from where on everything can be proven, if raw events are
// still there.
func (c *cycles) provableFrom(ctx context.Context, first schemas.Millis) error {
	first -= first % hourMillis
	if raw := c.a.rawFrom(); raw != schemas.NoInstant {
		first = max(first, (raw+hourMillis-1)/hourMillis*hourMillis)
	}
	if first == c.place.provableFrom {
		return nil
	}
	c.place.provableFrom = first
	return c.a.writeProgress(ctx, "", placeProvable, int64(first/1000))
}

// sealHours audits the hours that have been sealed since the last cycle.
func (c *cycles) sealHours(ctx context.Context) error {
	if err := c.floor(ctx); err != nil || c.place.provableFrom == schemas.NoInstant {
		return err
	}
	mark := c.watermark()
	if mark == schemas.NoInstant {
		return nil
	}
	mark -= sealAfter
	mark -= mark % hourMillis
	if c.place.sealed == schemas.NoInstant {
		c.place.sealed = min(c.place.provableFrom, mark)
	}
	for c.place.sealed < mark && !c.over() {
		s, err := c.a.worth(ctx, max(c.place.sealed, c.place.provableFrom), mark)
		if err != nil {
			return err
		}
		var again []schemas.Millis
		if s.from < s.to {
			if again, err = c.auditHours(ctx, s); err != nil {
				return err
			}
		}
		c.place.sealed = max(s.to, c.place.sealed)
		// What is forgotten between the two is dirty and not sealed: it is audited.
		if err := errors.Join(c.touch(ctx, again), c.a.writeProgress(ctx, "", placeSealed, int64(c.place.sealed/1000))); err != nil {
			return err
		}
	}
	return nil
}

// worth returns as many hours from an instant on as one comparison may be about:
// not past limit, and of days together that have no more events than one may.
func (a *Auditor) worth(ctx context.Context, from, limit schemas.Millis) (span, error) {
	day := from - from%dayMillis
	s := span{from, min(limit, day+dayMillis)}
	if s.to-s.from <= hourMillis {
		return s, nil
	}
	days, err := a.eventsOfDays(ctx, day, limit)
	if err != nil {
		return s, err
	}
	events := days[day]
	if events > dayEvents {
		s.to = from + hourMillis
		return s, nil
	}
	one := s.to
	for next := day + dayMillis; next < limit && next < day+maxDays*dayMillis; next += dayMillis {
		if events += days[next]; events > dayEvents {
			break
		}
		s.to = min(limit, next+dayMillis)
	}
	if s.to == one {
		return s, nil
	}
	// The rollup of days may be what is wrong.
	raw, err := a.rawEvents(ctx, s)
	if raw > 2*dayEvents {
		s.to = one
	}
	return s, err
}

// eventsOfDays says how many events the days from one on have, up to limit and
// at most maxDays of them.
func (a *Auditor) eventsOfDays(ctx context.Context, day, limit schemas.Millis) (map[schemas.Millis]int64, error) {
	const query = "SELECT toInt64(toUnixTimestamp(bucket)) * 1000, sum(events) FROM usage_1d WHERE bucket >= toDateTime({from:Int64}, 'UTC') AND bucket < toDateTime({to:Int64}, 'UTC') GROUP BY bucket"
	bound := a.bound()
	bound.Integer("from", int64(day)/1000)
	bound.Integer("to", int64(min(limit, day+maxDays*dayMillis))/1000)
	days := make(map[schemas.Millis]int64)
	err := a.query(ctx, "the events of days", query, bound, func(scan func(...any) error) error {
		var at, events int64
		err := scan(&at, &events)
		days[schemas.Millis(at)] = events
		return err
	})
	return days, err
}

// rawEvents counts those of an interval.
func (a *Auditor) rawEvents(ctx context.Context, s span) (n uint64, err error) {
	const query = "SELECT count() FROM events WHERE time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')"
	bound := a.bound()
	bound.Integer("from", int64(s.from))
	bound.Integer("to", int64(s.to))
	err = a.query(ctx, "the events of an interval", query, bound, func(scan func(...any) error) error { return scan(&n) })
	return n, err
}

// cleanHours audits dirty hours, the oldest first. Those that could not be looked
// at come after the others, and only now and then.
func (c *cycles) cleanHours(ctx context.Context) error {
	var hours, later []schemas.Millis
	for _, hour := range slices.Sorted(maps.Keys(c.place.dirty)) {
		if c.later[hour] {
			later = append(later, hour)
		} else {
			hours = append(hours, hour)
		}
	}
	err := c.cleanSome(ctx, hours)
	if c.cycled%leftCycles == 0 {
		err = errors.Join(err, c.cleanSome(ctx, later))
	}
	return err
}

// cleanSome audits some of the dirty hours, which are in order, days together.
func (c *cycles) cleanSome(ctx context.Context, hours []schemas.Millis) error {
	for len(hours) > 0 && !c.over() {
		// What is said to be dirty from here on stays so.
		began := c.a.cfg.Now()
		if hours[0] < c.place.provableFrom {
			if err := c.clean(ctx, hours[:1], began); err != nil {
				return err
			}
			hours = hours[1:]
			continue
		}
		// Of one day: between two that are far apart nothing is dirty.
		day := hours[0] - hours[0]%dayMillis
		s, err := c.a.worth(ctx, hours[0], min(hours[len(hours)-1]+hourMillis, day+dayMillis))
		if err != nil {
			return err
		}
		n := 1
		for n < len(hours) && hours[n] < s.to {
			n++
		}
		s.to = hours[n-1] + hourMillis
		again, err := c.auditHours(ctx, s)
		if err != nil {
			return err
		}
		if err := errors.Join(c.clean(ctx, hours[:n], began), c.touch(ctx, again)); err != nil {
			return err
		}
		for _, hour := range again {
			c.later[hour] = true
		}
		hours = hours[n:]
	}
	return nil
}

// clean says that hours have been audited at an instant.
func (c *cycles) clean(ctx context.Context, hours []schemas.Millis, at time.Time) error {
	if err := c.a.markHours(ctx, hours, false, at); err != nil {
		return err
	}
	for _, hour := range hours {
		delete(c.place.dirty, hour)
		delete(c.later, hour)
	}
	return nil
}

// sweepHours audits some hours again, from the newest back to the first.
func (c *cycles) sweepHours(ctx context.Context) error {
	began := time.Now()
	if c.place.sealed == schemas.NoInstant || c.place.provableFrom == schemas.NoInstant || began.Before(c.hoursRest) {
		return nil
	}
	to := min(c.place.sweep, c.place.sealed)
	if c.place.sweep == schemas.NoInstant || to <= c.place.provableFrom {
		to = c.place.sealed
	}
	from := max((to-1)-(to-1)%dayMillis, c.place.provableFrom)
	if from >= to {
		return nil
	}
	if to-from > hourMillis {
		day := from - from%dayMillis
		days, err := c.a.eventsOfDays(ctx, day, day+dayMillis)
		if err != nil {
			return err
		}
		if days[day] > dayEvents {
			from = to - hourMillis
		}
	}
	again, err := c.auditHours(ctx, span{from, to})
	if err == nil {
		err = c.touch(ctx, again)
	}
	if err != nil {
		return err
	}
	c.place.sweep = from
	c.hoursRest = time.Now().Add(time.Duration(c.a.cfg.SweepRest) * time.Since(began))
	return c.a.writeProgress(ctx, "", placeSweep, int64(from/1000))
}

// sweepRanges proves some ranges again, partition by partition.
func (c *cycles) sweepRanges(ctx context.Context) error {
	began := time.Now()
	if began.Before(c.rangesRest) {
		return nil
	}
	all := c.a.partitions()
	p := all[c.nextBack%len(all)]
	if at := c.proofs[p]; at != nil && at.whole {
		if c.needed(p, at) {
			c.nextBack++ // findings wait for it; it is given up when they are settled
			return nil
		}
		delete(c.proofs, p)
		c.nextBack++
		return nil
	}
	from := int64(-1)
	if at := c.proofs[p]; at != nil {
		from = at.from
	}
	if err := c.prove(ctx, p); err != nil {
		return err
	}
	if at := c.proofs[p]; at.from == from && !at.whole {
		c.nextBack++ // disturbed: it goes on when its turn comes again
	}
	c.rangesRest = time.Now().Add(time.Duration(c.a.cfg.SweepRest) * time.Since(began))
	return nil
}

// needed says that a finding rests on a proof.
func (c *cycles) needed(p partition, at *proof) bool {
	for _, f := range c.open {
		if f.Step == audits.Seen && f.What == rollup.Levels[0].Table && (partition{f.Topic, f.Partition}) == p && at.since >= f.FirstSeenAt {
			return true
		}
	}
	return false
}

// proveFindings proves the ranges on which findings rest (rule 3), for as long
// as the cycle lasts.
func (c *cycles) proveFindings(ctx context.Context) error {
	for _, f := range c.open {
		if f.Step != audits.Seen || f.State != audits.Drift || f.What != rollup.Levels[0].Table {
			continue
		}
		p := partition{f.Topic, f.Partition}
		if at := c.proofs[p]; at != nil && at.since < f.FirstSeenAt {
			delete(c.proofs, p) // it may have become wrong since
		}
		for !c.over() {
			at := c.proofs[p]
			if at != nil && at.reaches(f.Hour) {
				break
			}
			before := int64(-1)
			if at != nil {
				before = at.from
			}
			if err := c.prove(ctx, p); err != nil {
				return err
			}
			if at := c.proofs[p]; at.from == before && !at.whole {
				break // disturbed: the next cycle tries again
			}
		}
	}
	return nil
}

// proven says that the raw events of a finding's hour can be trusted: all ranges
// that may have brought some were compared since it was seen, and none is to be
// repaired.
func (c *cycles) proven(f *audits.Finding) bool {
	p := partition{f.Topic, f.Partition}
	at := c.proofs[p]
	if at == nil || at.since < f.FirstSeenAt || !at.reaches(f.Hour) {
		return false
	}
	if next, begun := c.place.ranges[p]; begun && next < c.end(p) {
		return false // there are newer ones than were audited
	}
	for _, other := range c.open {
		if other.Range() && other.State == audits.Drift && (partition{other.Topic, other.Partition}) == p {
			return false
		}
	}
	return true
}

// unprovableBefore is the end of what a range may have counted into that is
// short of rows for good.
func (c *cycles) unprovableBefore(p partition) schemas.Millis {
	before := schemas.NoInstant
	for _, f := range c.open {
		if f.Range() && f.State == audits.Unprovable && f.What != audits.Rejections && (partition{f.Topic, f.Partition}) == p {
			before = max(before, f.Hour)
		}
	}
	return before
}
