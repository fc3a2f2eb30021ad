package oracle

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Counts are what became of the records of a partition.
type Counts struct{ Inserted, Duplicates, Rejected, Rerouted uint64 }

// Range is a row of the ledger of batches.
type Range struct {
	First, Last, Records, Skipped uint64
	Counts
}

// Ledger is the ledger of one partition, by offset.
type Ledger []Range

// ReadLedger returns the ledger of a partition in an epoch.
func ReadLedger(ctx context.Context, db driver.Conn, topic string, epoch uint32, partition int) (Ledger, error) {
	rows, err := db.Query(ctx, `SELECT first, last, records, skipped, inserted, duplicates, rejected, rerouted
		FROM ingest_batches WHERE topic = ? AND kpart = ? AND epoch = ? ORDER BY first, last`, topic, partition, epoch)
	if err != nil {
		return nil, fmt.Errorf("cannot read the ledger of %s/%d: %w", topic, partition, err)
	}
	defer func() { _ = rows.Close() }()
	var l Ledger
	for rows.Next() {
		var r Range
		if err := rows.Scan(&r.First, &r.Last, &r.Records, &r.Skipped, &r.Inserted, &r.Duplicates, &r.Rejected, &r.Rerouted); err != nil {
			return nil, fmt.Errorf("cannot read the ledger of %s/%d: %w", topic, partition, err)
		}
		l = append(l, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the ledger of %s/%d: %w", topic, partition, err)
	}
	return l, nil
}

// Check adds the ranges up and says where they do not follow each other from
// first to end without gap or overlap, or do not add up in themselves.
func (l Ledger) Check(first, end uint64) (sum Counts, problems []string) {
	next := first
	for _, r := range l {
		if r.First != next || r.Records != r.Last-r.First+1 || r.Inserted+r.Duplicates+r.Rejected+r.Rerouted+r.Skipped != r.Records {
			problems = append(problems, fmt.Sprintf("%+v should start at %d and add up", r, next))
		}
		next = r.Last + 1
		sum = Counts{sum.Inserted + r.Inserted, sum.Duplicates + r.Duplicates, sum.Rejected + r.Rejected, sum.Rerouted + r.Rerouted}
	}
	if next != end {
		problems = append(problems, fmt.Sprintf("it ends before %d, the log at %d", next, end))
	}
	return sum, problems
}
