package consumers

import (
	"context"
	"fmt"
	"math/big"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/drawdown/drawdown/schemas"
)

// repairAttempts bounds how often missing rows are put in: each attempt has a
// token of its own, and one that is followed by a kill may lose rows again.
const repairAttempts = 8

// verify proves that the tables hold exactly the rows built for a batch, puts
// in what is missing, and then proves the rollups (invariant 3).
func (p *partition) verify(ctx context.Context, b *batch) error {
	if err := p.waitForInserts(ctx); err != nil {
		return err
	}
	for _, t := range b.tables {
		if err := p.verifyTable(ctx, b.span, t); err != nil {
			return err
		}
	}
	if p.role == schemas.ConsumptionTopic {
		return p.mend(ctx, b)
	}
	return nil
}

// verifyTable compares one table with the rows built and inserts the missing
// ones as repairs, under a token of their own per attempt.
func (p *partition) verifyTable(ctx context.Context, s span, t *rows) error {
	want := t.digest()
	for attempt := 1; attempt <= repairAttempts; attempt++ {
		got, err := p.stored(ctx, s, t)
		if err != nil {
			return err
		}
		if got == want {
			return nil
		}
		if got.count > want.count || got.offsets != got.count {
			return park("range_mismatch", "%s holds %d rows of %d offsets for %s offsets %s, but %d were built", t.table, got.count, got.offsets, p, s, want.count)
		}
		present, err := p.storedOffsets(ctx, s, t)
		if err != nil {
			return err
		}
		missing := make(map[uint64]bool)
		for _, off := range t.koff.ColUInt64 {
			if !present[off] {
				missing[off] = true
			}
		}
		if len(missing) == 0 || uint64(len(missing)) != want.count-got.count {
			return park("range_mismatch", "%s holds other rows for %s offsets %s than were built: %d rows and %s micro-credits against %d and %s",
				t.table, p, s, got.count, got.micro.Big(), want.count, want.micro.Big())
		}
		p.c.log.Warn("rows of a batch are missing and are put in", "table", t.table, "partition", p.String(), "offsets", s.String(), "rows", len(missing))
		p.c.metrics.repairs.WithLabelValues(t.table).Add(float64(len(missing)))
		token := fmt.Sprintf("%s/fix-%d", p.token(s, t.table), attempt)
		if _, err := p.insert(ctx, t.table, token, t.only(kindOf(t.table), missing).input()); err != nil {
			return err
		}
	}
	return park("range_mismatch", "%s still lacks rows for %s offsets %s after %d repairs", t.table, p, s, repairAttempts)
}

// inRange is the condition for a range of a partition. Time bounds keep it to
// few parts; the rows built have no others.
const inRange = ` WHERE epoch = {epoch:UInt32} AND kpart = {kpart:UInt16} AND koff >= {first:UInt64} AND koff <= {last:UInt64}
	AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')`

func (t *rows) rangeParams(s span) clickhouse.Parameters {
	from, to := int64(minKafkaTime), int64(maxKafkaTime)
	if t.len() > 0 && !t.anyTime {
		from, to = t.timeRange()
	}
	return clickhouse.Parameters{
		"first": fmt.Sprint(s.first), "last": fmt.Sprint(s.last), "from": fmt.Sprint(from), "to": fmt.Sprint(to),
	}
}

// stored returns the digest of what a table holds for a range.
func (p *partition) stored(ctx context.Context, s span, t *rows) (digest, error) {
	micro := "toInt128(0)"
	if t.micro != nil {
		micro = "sum(toInt128(credits_micro))"
	}
	query := `SELECT count(), uniqExact(koff), ` + micro + `, groupBitXor(cityHash64(koff, content_hash)) FROM ` + t.table + inRange
	var d digest
	err := p.read(ctx, query, t.rangeParams(s), func(rows driver.Rows) error {
		var sum big.Int
		if err := rows.Scan(&d.count, &d.offsets, &sum, &d.content); err != nil {
			return err
		}
		total, err := schemas.TotalFromBig(&sum)
		d.micro = total
		return err
	})
	return d, err
}

func (p *partition) storedOffsets(ctx context.Context, s span, t *rows) (map[uint64]bool, error) {
	present := make(map[uint64]bool)
	err := p.read(ctx, `SELECT koff FROM `+t.table+inRange, t.rangeParams(s), func(rows driver.Rows) error {
		var off uint64
		err := rows.Scan(&off)
		present[off] = true
		return err
	})
	return present, err
}

// read queries until ClickHouse answers or the generation is over. scan may
// see the rows of a broken attempt again and must overwrite, not add.
func (p *partition) read(ctx context.Context, query string, params clickhouse.Parameters, scan func(driver.Rows) error) error {
	return p.readAnew(ctx, query, params, func() {}, scan)
}

// readAll returns the rows of a query. What an attempt has shown that broke off
// is forgotten: a merge may have moved it since, and where a row lies would then
// be known twice.
func readAll[T any](ctx context.Context, p *partition, query string, params clickhouse.Parameters, scan func(driver.Rows) (T, error), options ...clickhouse.QueryOption) (all []T, err error) {
	err = p.readAnew(ctx, query, params, func() { all = all[:0] }, func(rows driver.Rows) error {
		v, err := scan(rows)
		all = append(all, v)
		return err
	}, options...)
	return all, err
}

// readAnew is read with begin before each attempt.
func (p *partition) readAnew(ctx context.Context, query string, params clickhouse.Parameters, begin func(), scan func(driver.Rows) error, options ...clickhouse.QueryOption) error {
	var retry backoff
	for refused := 0; ; refused++ {
		began := p.c.now()
		begin()
		err := p.query(ctx, query, params, scan, options...)
		if err == nil {
			p.c.readErrors.clearSince("reads are answered again", began)
			return nil
		}
		if ctx.Err() != nil {
			return errOver
		}
		if p.isGone(err.Error(), err) {
			return errAnewOver
		}
		if lastingCode(err) != 0 && refused >= lastingLimit {
			return park("query_refused", "ClickHouse refuses to be read back for %s: %w", p, err)
		}
		p.c.readErrors.note("cannot read back, trying again", err)
		if retry.sleep(ctx) != nil {
			return errOver
		}
	}
}

// waitForInserts waits until no INSERT of this partition runs on the server:
// one that a former owner has left behind may still reach a table or a view,
// and what is compared while it does would be mended twice.
func (p *partition) waitForInserts(ctx context.Context) error {
	return p.waitForRunning(ctx, "startsWith(query_id, {prefix:String})", clickhouse.Parameters{"prefix": p.queryID() + "/"})
}

// waitForRunning waits until no such statement runs on the server.
func (p *partition) waitForRunning(ctx context.Context, condition string, params clickhouse.Parameters) error {
	for wait := (backoff{}); ; {
		var running uint64
		err := p.read(ctx, "SELECT count() FROM system.processes WHERE "+condition, params, func(rows driver.Rows) error { return rows.Scan(&running) })
		if err != nil || running == 0 {
			return err
		}
		if wait.wait >= time.Second {
			p.c.log.Info("waiting for the inserts of a former owner", "partition", p.String(), "inserts", running)
		}
		if wait.sleep(ctx) != nil {
			return errOver
		}
	}
}

// verifyRejections puts in those of a batch's rejections that the table lacks.
func (p *partition) verifyRejections(ctx context.Context, b *batch) error {
	const query = `SELECT koff FROM rejections WHERE topic = {topic:String} AND epoch = {epoch:UInt32}
		AND kpart = {kpart:UInt16} AND koff >= {first:UInt64} AND koff <= {last:UInt64}`
	return p.verifyWhole(ctx, b.span, "rejections", query, b.rejected.koff.ColUInt64, func(token string, missing map[uint64]bool) error {
		_, err := p.insert(ctx, "rejections", token, b.rejected.only(missing).input())
		return err
	})
}

// verifyLedger does the same for the ledger row.
func (p *partition) verifyLedger(ctx context.Context, b *batch) error {
	const query = `SELECT first FROM ingest_batches WHERE topic = {topic:String} AND epoch = {epoch:UInt32}
		AND kpart = {kpart:UInt16} AND first = {first:UInt64} AND last = {last:UInt64}`
	return p.verifyWhole(ctx, b.span, "ingest_batches", query, []uint64{uint64(b.first)}, func(token string, _ map[uint64]bool) error {
		_, err := p.insert(ctx, "ingest_batches", token, p.ledgerInput(b))
		return err
	})
}

// verifyWhole is for rows that nothing is derived from: it inserts the missing
// ones of want, which query lists, at first under the batch's own token, which
// settles races with a former owner, then under tokens that no loss has burnt.
// It looks before it inserts because an old token may be forgotten.
func (p *partition) verifyWhole(ctx context.Context, s span, table, query string, want []uint64, insert func(token string, missing map[uint64]bool) error) error {
	token := p.token(s, table)
	params := clickhouse.Parameters{"first": fmt.Sprint(s.first), "last": fmt.Sprint(s.last)}
	for attempt := 1; attempt <= repairAttempts; attempt++ {
		present := make(map[uint64]bool)
		err := p.read(ctx, query, params, func(rows driver.Rows) error {
			var key uint64
			err := rows.Scan(&key)
			present[key] = true
			return err
		})
		if err != nil {
			return err
		}
		missing := make(map[uint64]bool)
		for _, key := range want {
			if !present[key] {
				missing[key] = true
			}
		}
		if len(missing) == 0 {
			return nil
		}
		if err := insert(token, missing); err != nil {
			return err
		}
		token = fmt.Sprintf("%s/fix-%d", p.token(s, table), attempt)
	}
	return park("range_mismatch", "%s still lacks rows for %s offsets %s after %d repairs", table, p, s, repairAttempts)
}
