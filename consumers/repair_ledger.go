package consumers

import (
	"context"
	"fmt"
	"math/big"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
)

// ledgered is a row of the ledger as it stands.
type ledgered struct {
	rowPlace
	inserted, duplicates, rejected, rerouted, skipped uint64
	micro                                             schemas.Total
}

// told is of how many offsets the row says what became of them.
func (l *ledgered) told() uint64 {
	return l.inserted + l.duplicates + l.rejected + l.rerouted + l.skipped
}

// says reports whether the row says of a batch what was built.
func (l *ledgered) says(b *batch) bool {
	return l.inserted == b.counted() && l.duplicates == b.duplicates && l.rejected == uint64(b.rejected.len()) &&
		l.rerouted == uint64(len(b.reroutes)) && l.skipped == b.skipped && l.micro == b.micro()
}

// saidBefore reports whether the row says what was built before some of it was
// counted again by later ranges: how many, only the row knows, for a duplicate of
// what is lost may be among them, or what was left to later ranges before.
func (l ledgered) saidBefore(b *batch) bool {
	var most uint64
	micro := b.micro()
	for _, t := range b.later {
		lost := t.digest()
		most += lost.count
		micro = micro.Add(lost.micro)
	}
	n := l.inserted - b.counted()
	if l.inserted <= b.counted() || n > most || n == most && l.micro != micro {
		return false
	}
	l.inserted, l.duplicates, l.micro = l.inserted-n, l.duplicates+n, b.micro()
	return l.says(b)
}

// sameAs ignores where the rows lie.
func (l ledgered) sameAs(other ledgered) bool {
	l.rowPlace, other.rowPlace = rowPlace{}, rowPlace{}
	return l == other
}

// readLedgered returns the rows of exactly a range.
func (p *partition) readLedgered(ctx context.Context, s span) ([]ledgered, error) {
	const query = `SELECT _part, _part_offset, inserted, duplicates, rejected, rerouted, skipped, credits_micro FROM ingest_batches
		WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND first = {first:UInt64} AND last = {last:UInt64}`
	all, err := readAll(ctx, p, query, spanParams(s), func(rows driver.Rows) (l ledgered, err error) {
		var micro big.Int
		if err := rows.Scan(&l.part, &l.offset, &l.inserted, &l.duplicates, &l.rejected, &l.rerouted, &l.skipped, &micro); err != nil {
			return l, err
		}
		l.micro, err = schemas.TotalFromBig(&micro)
		return l, err
	})
	slices.SortFunc(all, func(a, b ledgered) int { return a.compare(b.rowPlace) })
	return all, err
}

// repairLedger brings the ledger to one row for a range. Rows that are alike
// need no proof; a range without a row is built again.
func (p *partition) repairLedger(ctx context.Context, f *audits.Finding, s span) error {
	rows, err := p.readLedgered(ctx, s)
	if err != nil {
		return err
	}
	alike := len(rows) > 0
	for i := range rows {
		alike = alike && rows[i].sameAs(rows[0])
	}
	if alike && len(rows) > 1 {
		if err := p.removeLedgered(ctx, s, rows[1:], 1); err != nil {
			return err
		}
		f.State, f.Note = audits.Repaired, fmt.Sprintf("%d doubled rows were removed", len(rows)-1)
		return nil
	}
	if sound, err := p.ledgerSound(ctx, s, rows); err != nil {
		return err
	} else if sound {
		f.State, f.Note = audits.Fine, "it was mended already"
		return nil
	}
	b, q, release, err := p.shadow(ctx, s)
	if err != nil {
		return err
	}
	defer release()
	if len(rows) == 0 {
		// It may never have been counted; whoever gets them counts them once.
		if err := p.produceReroutes(ctx, b); err != nil {
			return err
		}
	}
	changed, err := q.verifyRange(ctx, b, p.repairToken(f))
	p.forgot = p.forgot || changed.rows > 0
	if err != nil {
		return err
	}
	kept := slices.IndexFunc(rows, func(l ledgered) bool { return l.says(b) })
	var wrong []ledgered
	for i := range rows {
		if i != kept {
			wrong = append(wrong, rows[i])
		}
	}
	if err := p.removeLedgered(ctx, s, wrong, len(rows)-len(wrong)); err != nil {
		return err
	}
	if err := q.verifyLedger(ctx, b); err != nil {
		return err
	}
	f.State, f.Token = audits.Repaired, changed.token
	f.Note = fmt.Sprintf("the range was built again; %d wrong rows of the ledger were removed; %s", len(wrong), changed)
	if kept >= 0 && len(wrong) == 0 && changed == (changes{}) {
		f.State, f.Note = audits.Unprovable, "what Kafka has and what the ledger says agree, but ranges overlap"
	}
	return nil
}

// ledgerSound reports whether the rows of a range are one that says of each offset
// what became of it, and no other row is about any of these: who mended them may
// have been stopped before that was said, and Kafka may have no more of them.
func (p *partition) ledgerSound(ctx context.Context, s span, rows []ledgered) (sound bool, err error) {
	if len(rows) != 1 || rows[0].told() != uint64(s.last-s.first+1) {
		return false, nil
	}
	const query = `SELECT count() = 1 FROM ingest_batches WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16}
		AND first <= {last:UInt64} AND last >= {first:UInt64}`
	err = p.read(ctx, query, spanParams(s), func(rows driver.Rows) error { return rows.Scan(&sound) })
	return sound, err
}

// removeLedgered removes rows of a range, which are to leave some others. Where a
// merge or another partition's DELETE has moved one meanwhile, it has to be done
// again.
func (p *partition) removeLedgered(ctx context.Context, s span, rows []ledgered, others int) error {
	if len(rows) == 0 {
		return nil
	}
	places := make([]rowPlace, len(rows))
	for i := range rows {
		places[i] = rows[i].rowPlace
	}
	p.c.metrics.repairs.WithLabelValues("ingest_batches").Add(float64(len(rows)))
	const condition = "topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND first = {first:UInt64} AND last = {last:UInt64}"
	if err := p.removeAt(ctx, "ingest_batches", condition, s, places); err != nil {
		return err
	}
	left, err := p.readLedgered(ctx, s)
	if err == nil && len(left) > others {
		err = fmt.Errorf("rows of the ledger were moved while they were removed: %w", errLater)
	}
	return err
}
