package audit

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
	"github.com/drawdown/drawdown/schemas/rollup"
)

const (
	// maxRanges and maxOffsets bound what one statement compares: about a second
	// of reading.
	maxRanges  = 512
	maxOffsets = 5_000_000
	// rangeOffsets is how long a range that the ledger lacks may be, for it is
	// built again at once: a longer gap is several.
	rangeOffsets = 200_000
	// leftCycles is after how many cycles batches are looked at again that could not
	// be, of a partition that has not got on since.
	leftCycles = 6
	// rejectionsKept is how long rejections are sure to be there: their TTL is 90
	// days from when they came.
	rejectionsKept = 89 * dayMillis
)

// batch is a row of the ledger.
type batch struct {
	first, last  int64
	inserted     uint64
	rejected     uint64
	told         uint64 // what became of its records, added up
	micro        schemas.Total
	lastAt       schemas.Millis // timestamp of the last record; of a batch without one that of a neighbour
	copies       uint64         // equal rows
	contradicted bool           // another row of the range says something else
}

func (b *batch) records() uint64 { return uint64(b.last - b.first + 1) }

// ledgerQuery reads batches in order. Rows of one batch that are alike are one.
const ledgerQuery = `
SELECT first, last, inserted, rejected, inserted + duplicates + rejected + rerouted + skipped, credits_micro,
    if(last_koff < 0, {none:Int64}, toUnixTimestamp64Milli(last_time)), count() AS copies
FROM ingest_batches
WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND `

const ledgerGroups = `
GROUP BY first, last, inserted, duplicates, rejected, rerouted, skipped, credits_micro, last_koff, last_time`

func (a *Auditor) readLedger(ctx context.Context, p partition, condition string, bound rollup.Parameters, order string) ([]batch, error) {
	bound.String("topic", p.topic)
	bound.Integer("epoch", int64(a.cfg.Epoch))
	bound.Integer("kpart", int64(p.id))
	bound.Integer("limit", maxRanges)
	bound.Integer("none", int64(schemas.NoInstant))
	var all []batch
	err := a.query(ctx, "the ledger of "+p.String(), ledgerQuery+condition+ledgerGroups+"\nORDER BY first "+order+", copies DESC LIMIT {limit:UInt32}", bound, func(scan func(...any) error) error {
		var (
			b           batch
			first, last uint64
			micro       big.Int
			at          int64
		)
		err := scan(&first, &last, &b.inserted, &b.rejected, &b.told, &micro, &at, &b.copies)
		if err != nil {
			return err
		}
		b.first, b.last, b.lastAt = int64(first), int64(last), schemas.Millis(at)
		if b.micro, err = schemas.TotalFromBig(&micro); err != nil {
			return err
		}
		if n := len(all); n > 0 && all[n-1].first == b.first {
			all[n-1].copies += b.copies
			all[n-1].contradicted = true
			return nil
		}
		all = append(all, b)
		return nil
	})
	// Whole batches, and not more than a statement may read of their rows.
	total := uint64(0)
	for i := range all {
		if total += all[i].records(); total > maxOffsets && i > 0 {
			all = all[:i]
			break
		}
	}
	a.stamp(all)
	return all, err
}

// stamp gives batches without a record, of an aborted transaction alone, the time
// of one beside them.
func (a *Auditor) stamp(batches []batch) {
	known := a.now()
	if at := slices.IndexFunc(batches, func(b batch) bool { return b.lastAt != schemas.NoInstant }); at >= 0 {
		known = batches[at].lastAt
	}
	for i := range batches {
		if batches[i].lastAt == schemas.NoInstant {
			batches[i].lastAt = known
		}
		known = batches[i].lastAt
	}
}

// newestBefore is the newest timestamp of the batches of a partition before an
// offset: producers may set old ones, so it is not that of the last. NoInstant:
// there are none.
func (a *Auditor) newestBefore(ctx context.Context, p partition, before int64) (newest schemas.Millis, err error) {
	const query = `SELECT toUnixTimestamp64Milli(max(last_time)), count() FROM ingest_batches
		WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND first < {before:Int64} AND last_koff >= 0`
	bound := a.bound()
	bound.String("topic", p.topic)
	bound.Integer("kpart", int64(p.id))
	bound.Integer("before", before)
	var n uint64
	if err := a.query(ctx, "when the batches of "+p.String()+" came", query, bound, func(scan func(...any) error) error {
		return scan((*int64)(&newest), &n)
	}); err != nil || n == 0 {
		return schemas.NoInstant, err
	}
	return newest, nil
}

// stored is what a table holds of a batch.
type stored struct {
	rows, offsets uint64
	micro         schemas.Total
	hours         []schemas.Millis // that its events fall into
}

// storedQueries read what the tables hold of batches, by their first offset.
func (a *Auditor) storedQueries(topic string) map[string]string {
	const of = ` AS table WHERE epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND koff >= {least:UInt64} AND koff <= {most:UInt64}`
	const start = "SELECT roundDown(koff, {firsts:Array(UInt64)}) AS start, count(), uniqExact(koff), "
	queries := map[string]string{
		audits.Rejections: start + "toInt128(0), emptyArrayUInt32() FROM rejections" + of + " AND topic = {topic:String} GROUP BY start",
	}
	switch topic {
	case a.cfg.Topics.Consumption:
		queries[audits.Events] = start + "sum(toInt128(credits_micro)), groupUniqArray(toUnixTimestamp(toStartOfHour(time))) FROM events" + of + " GROUP BY start"
	case a.cfg.Topics.Ledger:
		queries[audits.Entries] = start + "sum(toInt128(credits_micro)), emptyArrayUInt32() FROM credit_entries" + of + " GROUP BY start"
	default:
		queries[audits.States] = start + "toInt128(0), emptyArrayUInt32() FROM (SELECT koff FROM campaigns" + of + " UNION ALL SELECT koff FROM workspaces" + of + ") GROUP BY start"
	}
	return queries
}

// counted is the table of a topic whose rows a batch counts.
func (a *Auditor) counted(topic string) string {
	switch topic {
	case a.cfg.Topics.Consumption:
		return audits.Events
	case a.cfg.Topics.Ledger:
		return audits.Entries
	}
	return audits.States
}

// readStored reads what a table holds of batches, which follow each other.
func (a *Auditor) readStored(ctx context.Context, p partition, table string, batches []batch) (map[int64]stored, error) {
	bound := a.bound()
	bound.String("topic", p.topic)
	bound.Integer("kpart", int64(p.id))
	bound.Integer("least", batches[0].first)
	most := batches[0].last
	firsts := make([]string, len(batches))
	for i := range batches {
		firsts[i] = strconv.FormatInt(batches[i].first, 10)
		most = max(most, batches[i].last)
	}
	bound.Integer("most", most)
	bound["firsts"] = "[" + strings.Join(firsts, ",") + "]"
	all := make(map[int64]stored, len(batches))
	err := a.query(ctx, table+" of "+p.String(), a.storedQueries(p.topic)[table], bound, func(scan func(...any) error) error {
		var (
			start uint64
			s     stored
			micro big.Int
			hours []uint32
		)
		err := scan(&start, &s.rows, &s.offsets, &micro, &hours)
		if err != nil {
			return err
		}
		for _, hour := range hours {
			s.hours = append(s.hours, schemas.Millis(hour)*1000)
		}
		s.micro, err = schemas.TotalFromBig(&micro)
		all[int64(start)] = s
		return err
	})
	return all, err
}

// compareRanges returns what tables lack of batches, or have too much, and the
// hours into which the batches counted. Batches before at are not compared with
// tables whose rows may have aged out.
func (a *Auditor) compareRanges(ctx context.Context, p partition, batches []batch, only string) (wrong []audits.Finding, hours []schemas.Millis, err error) {
	if len(batches) == 0 {
		return nil, nil, nil
	}
	add := func(what string, first, last int64, b *batch, d audits.Difference) {
		d.Fingerprint = fingerprint(d)
		wrong = append(wrong, audits.Finding{Place: audits.Place{
			Topic: p.topic, Epoch: a.cfg.Epoch, Partition: p.id, What: what, First: first, Last: last, Hour: audits.CountedBefore(b.lastAt),
		}, Difference: d})
	}
	var before *batch
	for i := range batches {
		b := &batches[i]
		if only != "" && only != audits.Batches {
			break
		}
		if b.copies != 1 {
			add(audits.Batches, b.first, b.last, b, audits.Difference{Expected: 1, Found: int64(b.copies)})
		}
		if b.told != b.records() {
			add(audits.Batches, b.first, b.last, b, audits.Difference{Expected: int64(b.records()), Found: int64(b.told)})
		}
		if before != nil && before.last >= b.first {
			add(audits.Batches, b.first, b.last, b, audits.Difference{Expected: 1, Found: 2})
		}
		if before != nil {
			b := *b
			b.lastAt = max(b.lastAt, before.lastAt)
			for first, n := before.last+1, 0; first < b.first && n < maxRanges; first, n = first+rangeOffsets, n+1 {
				add(audits.Batches, first, min(first+rangeOffsets, b.first)-1, &b, audits.Difference{Expected: 1, Found: 0})
			}
		}
		before = b
	}
	counted, rawFrom := a.counted(p.topic), a.rawFrom()
	kept := a.now() - rejectionsKept
	for table := range a.storedQueries(p.topic) {
		if only != "" && only != table {
			continue
		}
		have, err := a.readStored(ctx, p, table, batches)
		if err != nil {
			return nil, nil, err
		}
		for i := range batches {
			b := &batches[i]
			s := have[b.first]
			hours = append(hours, s.hours...)
			expected, micro := b.inserted, b.micro
			if table == audits.Rejections {
				expected, micro = b.rejected, schemas.Total{}
			}
			aged := table == audits.Rejections && b.lastAt < kept || table == audits.Events && rawFrom != schemas.NoInstant && b.lastAt < rawFrom
			if aged || s.rows == expected && s.offsets == expected && (table != counted || table == audits.States || s.micro == micro) {
				continue
			}
			if table == audits.States {
				micro = schemas.Total{}
			}
			d := audits.Difference{Expected: int64(expected), Found: int64(s.rows), ExpectedMicro: micro, FoundMicro: s.micro, Keys: s.offsets}
			add(table, b.first, b.last, b, d)
		}
	}
	slices.Sort(hours)
	return wrong, slices.Compact(hours), nil
}

func fingerprint(d audits.Difference) uint64 {
	hash := fnv.New64a()
	_, _ = fmt.Fprint(hash, d.Expected, d.Found, d.ExpectedMicro, d.FoundMicro, d.Keys)
	return hash.Sum64()
}

// rawFrom is the instant before which raw events may have aged out.
func (a *Auditor) rawFrom() schemas.Millis {
	at, ok := a.cfg.EventsTTL.RawFrom(a.cfg.Now())
	if !ok {
		return schemas.NoInstant
	}
	return at
}

// forwardRanges audits the batches that were counted since the last cycle.
func (c *cycles) forwardRanges(ctx context.Context) error {
	all := c.a.partitions()
	c.turn++ // each is the first once: one that takes long must not starve the others
	for i := range all {
		p := all[(i+c.turn)%len(all)]
		for !c.over() {
			more, err := c.forwardRange(ctx, p)
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
	}
	return nil
}

// forwardRange audits the next batches of a partition.
func (c *cycles) forwardRange(ctx context.Context, p partition) (more bool, err error) {
	next, begun := c.place.ranges[p]
	end := c.end(p)
	if begun && end <= next {
		return false, nil
	}
	if at, left := c.left[p]; left && at == end && c.cycled%leftCycles != 0 {
		return false, nil // as it was, it is as it was: parked, it may be
	}
	bound := rollup.Parameters{}
	bound.Integer("next", next)
	batches, err := c.a.readLedger(ctx, p, "first >= {next:UInt64}", bound, "ASC")
	if err != nil || len(batches) == 0 && !begun {
		return false, err
	}
	if len(batches) == 0 {
		return false, c.lookAtEnd(ctx, p, next)
	}
	if begun && batches[0].first > next {
		// So that the gap shows.
		batches = slices.Insert(batches, 0, batch{first: next - 1, last: next - 1, copies: 1, told: 1, lastAt: batches[0].lastAt})
	}
	wrong, hours, err := c.a.compareRanges(ctx, p, batches, "")
	if err != nil {
		return false, err
	}
	if begun && batches[0].first == next-1 {
		wrong = slices.DeleteFunc(wrong, func(f audits.Finding) bool { return f.Last == next-1 })
	}
	// The hours first: what is forgotten after that is audited again.
	if err := c.touch(ctx, hours); err != nil {
		return false, err
	}
	// What could not be looked at is compared again in the next cycle.
	if left, err := c.look(ctx, wrong); err != nil || len(left) > 0 {
		c.left[p] = end
		return false, err
	}
	delete(c.left, p)
	next = batches[len(batches)-1].last + 1
	c.place.ranges[p] = next
	return true, c.a.writeProgress(ctx, p.topic, p.id, next)
}

// lookAtEnd looks at a partition that is done with offsets from next on of which
// the ledger says nothing: a row stands there before its batch is done.
func (c *cycles) lookAtEnd(ctx context.Context, p partition, next int64) error {
	before := batch{first: next - 1, last: next - 1, copies: 1, told: 1, lastAt: c.a.now()}
	around := append([]batch(nil), before, c.a.endAt(c.end(p)))
	wrong, _, err := c.a.compareRanges(ctx, p, around, audits.Batches)
	if err != nil {
		return err
	}
	_, err = c.look(ctx, wrong)
	return err
}

// beforeLedger returns the ranges before the first one of a ledger, or before
// what is done if there is none, of which rows were counted all the same: their
// rows of the ledger are lost.
func (a *Auditor) beforeLedger(ctx context.Context, p partition) (lost []audits.Finding, err error) {
	of := func(table, and string) string {
		return "SELECT koff FROM " + table + " WHERE epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND koff < began" + and
	}
	tables := []string{of("rejections", " AND topic = {topic:String}")}
	switch a.counted(p.topic) {
	case audits.States:
		tables = append(tables, of("campaigns", ""), of("workspaces", ""))
	default:
		tables = append(tables, of(a.counted(p.topic), ""))
	}
	query := `
WITH (SELECT (count(), min(first), toUnixTimestamp64Milli(argMinIf(last_time, first, last_koff >= 0)), countIf(last_koff >= 0)) FROM ingest_batches
        WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16}) AS ledger,
    if(ledger.1 > 0, ledger.2, (SELECT max(next_offset) FROM ingest_progress
        WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16})) AS began
SELECT count(), toInt64(min(koff)), toInt64(began), if(ledger.4 > 0, ledger.3, {now:Int64}) FROM (` + strings.Join(tables, " UNION ALL ") + ")"
	bound := a.bound()
	bound.String("topic", p.topic)
	bound.Integer("kpart", int64(p.id))
	bound.Integer("now", int64(a.now()))
	var (
		rows         uint64
		least, began int64
		until        schemas.Millis // when the first batch of the ledger came
	)
	if err := a.query(ctx, "what "+p.String()+" counted before its ledger", query, bound, func(scan func(...any) error) error {
		return scan(&rows, &least, &began, (*int64)(&until))
	}); err != nil || rows == 0 {
		return nil, err
	}
	around := []batch{a.endAt(least - 1), a.endAt(began)}
	around[0].lastAt, around[1].lastAt = until, until
	lost, _, err = a.compareRanges(ctx, p, around, audits.Batches)
	return lost, err
}

// endAt stands for the batch that will begin at an offset.
func (a *Auditor) endAt(first int64) batch {
	return batch{first: first, last: first, copies: 1, told: 1, lastAt: a.now()}
}

// end is the first offset of a partition that was not counted yet.
func (c *cycles) end(p partition) int64 {
	at := c.progress.Of(p.id, c.a.cfg.Topics)
	switch p.topic {
	case c.a.cfg.Topics.Consumption:
		return int64(at.Consumption)
	case c.a.cfg.Topics.Ledger:
		return int64(at.Ledger)
	}
	return int64(at.States)
}

// touch makes those of the hours dirty that have been audited before.
func (c *cycles) touch(ctx context.Context, hours []schemas.Millis) error {
	var dirty []schemas.Millis
	raw := c.a.rawFrom()
	for _, hour := range hours {
		switch {
		case c.place.sealed == schemas.NoInstant, hour >= c.place.sealed, c.place.dirty[hour]:
		case raw != schemas.NoInstant && hour < raw: // cannot be audited
		default:
			dirty = append(dirty, hour)
		}
	}
	if len(dirty) > 0 && dirty[0] < c.place.provableFrom {
		if err := c.provableFrom(ctx, dirty[0]); err != nil {
			return err
		}
	}
	if err := c.a.markHours(ctx, dirty, true, c.a.cfg.Now()); err != nil {
		return err
	}
	for _, hour := range dirty {
		c.place.dirty[hour] = true
	}
	return nil
}

// proof says that all ranges of a partition from offset from to what was
// audited forward were compared since an instant.
type proof struct {
	from   int64
	arrive schemas.Millis // the newest timestamp of those before these
	since  schemas.Millis
	next   batch // that begins at from
	whole  bool  // there is nothing before
}

// reaches says that it is about every range that may have brought an event of
// an hour: no event is ahead of its arrival by more than 5 minutes.
func (p *proof) reaches(hour schemas.Millis) bool { return p.whole || p.arrive < hour-audits.Disorder }

// prove compares the ranges before those that a proof is about.
func (c *cycles) prove(ctx context.Context, p partition) error {
	at := c.proofs[p]
	if at == nil {
		next, begun := c.place.ranges[p]
		at = &proof{from: next, arrive: c.a.now(), since: c.a.now(), next: c.a.endAt(next), whole: !begun}
		c.proofs[p] = at
	}
	// Raw events of what is before may have aged out.
	if rawFrom := c.a.rawFrom(); rawFrom != schemas.NoInstant && at.arrive < rawFrom {
		at.whole = true
	}
	if at.whole {
		return nil
	}
	bound := rollup.Parameters{}
	bound.Integer("before", at.from)
	batches, err := c.a.readLedger(ctx, p, "first < {before:UInt64}", bound, "DESC")
	if err != nil {
		return err
	}
	slices.Reverse(batches)
	if len(batches) == 0 {
		lost, err := c.a.beforeLedger(ctx, p)
		if err != nil {
			return err
		}
		if left, err := c.look(ctx, lost); err != nil || len(left) > 0 {
			return err
		}
		at.whole = true
		return nil
	}
	// With the one that follows, so that a gap between shows.
	wrong, _, err := c.a.compareRanges(ctx, p, append(slices.Clone(batches), at.next), "")
	if err != nil {
		return err
	}
	wrong = slices.DeleteFunc(wrong, func(f audits.Finding) bool { return f.First == at.from })
	// What could not be looked at may be wrong: nothing is proven by it.
	if left, err := c.look(ctx, wrong); err != nil || len(left) > 0 {
		return err
	}
	newest, err := c.a.newestBefore(ctx, p, batches[0].first)
	if err != nil {
		return err
	}
	at.from, at.next = batches[0].first, batches[0]
	if newest != schemas.NoInstant { // else the next step finds that nothing is before
		at.arrive = newest
	}
	return nil
}
