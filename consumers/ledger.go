package consumers

import (
	"context"
	"fmt"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// ledgerInput is the one row that says what became of a batch (invariant 9).
func (p *partition) ledgerInput(b *batch) proto.Input {
	var topic dictColumn
	var rules stringColumn
	topic.append([]byte(p.topic))
	rules.append([]byte(p.c.rules))
	micro := b.micro()
	return proto.Input{
		{Name: "topic", Data: &topic},
		{Name: "epoch", Data: proto.ColUInt32{p.c.Epoch}},
		{Name: "kpart", Data: proto.ColUInt16{uint16(p.id)}},
		{Name: "first", Data: proto.ColUInt64{uint64(b.first)}},
		{Name: "last", Data: proto.ColUInt64{uint64(b.last)}},
		{Name: "records", Data: proto.ColUInt64{b.records()}},
		{Name: "inserted", Data: proto.ColUInt64{b.counted()}},
		{Name: "duplicates", Data: proto.ColUInt64{b.duplicates}},
		{Name: "rejected", Data: proto.ColUInt64{uint64(b.rejected.len())}},
		{Name: "rerouted", Data: proto.ColUInt64{uint64(len(b.reroutes))}},
		{Name: "skipped", Data: proto.ColUInt64{b.skipped}},
		{Name: "credits_micro", Data: proto.ColInt128{{Low: micro.Lo, High: uint64(micro.Hi)}}},
		{Name: "last_koff", Data: proto.ColInt64{b.lastKoff}},
		{Name: "last_time", Data: &timeColumn{proto.ColInt64{clampTime(b.lastTime)}}},
		{Name: "last_crc", Data: proto.ColUInt32{b.lastCRC}},
		{Name: "format", Data: proto.ColUInt16{batchFormat}},
		{Name: "rules", Data: &rules},
	}
}

// ledgerRow is what a new owner needs of the ledger.
type ledgerRow struct {
	span
	lastKoff int64
	lastCRC  uint32
}

// readLedger returns the partition's newest rows, newest first: more than can
// be pending, so that the end before the pending ranges is among them.
func (p *partition) readLedger(ctx context.Context) ([]ledgerRow, error) {
	const query = `SELECT first, last, last_koff, last_crc FROM ingest_batches
		WHERE topic = {topic:String} AND epoch = {epoch:UInt32} AND kpart = {kpart:UInt16}
		ORDER BY first DESC LIMIT 16`
	var out []ledgerRow
	err := p.query(ctx, query, nil, func(rows driver.Rows) error {
		var first, last uint64
		var r ledgerRow
		if err := rows.Scan(&first, &last, &r.lastKoff, &r.lastCRC); err != nil {
			return err
		}
		r.span = span{int64(first), int64(last)}
		if len(out) == 0 || out[len(out)-1] != r {
			out = append(out, r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the ledger of %s: %w", p, err)
	}
	return out, nil
}

// query runs a SELECT with the partition's parameters and more, row by row.
func (p *partition) query(ctx context.Context, query string, more clickhouse.Parameters, scan func(driver.Rows) error, options ...clickhouse.QueryOption) error {
	params := clickhouse.Parameters{"topic": p.topic, "epoch": fmt.Sprint(p.c.Epoch), "kpart": fmt.Sprint(p.id)}
	for k, v := range more {
		params[k] = v
	}
	options = append(options, clickhouse.WithParameters(params))
	rows, err := p.c.db.Query(clickhouse.Context(ctx, options...), query)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
