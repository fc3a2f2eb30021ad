package consumers

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// TestReadForgetsWhatABrokenAttemptHasShown breaks an answer off in its middle and
// moves its rows, as a merge does, before it is asked for again.
func TestReadForgetsWhatABrokenAttemptHasShown(t *testing.T) {
	t.Parallel()
	b := newTestbed(t, storetest.ClickHouse(t), 100, 1<<20)
	ctx := context.Background()
	exec := func(statement string) {
		t.Helper()
		if err := b.db.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE moving (n UInt64) ENGINE = MergeTree ORDER BY n`)
	for range 3 {
		exec(`INSERT INTO moving SELECT number FROM numbers(100)`)
	}
	p := newPartition(&generation{c: b.c, draining: ctx, kicked: make(chan struct{}, 1)}, schemas.ConsumptionTopic, 0)
	shown := 0
	places, err := readAll(ctx, p, `SELECT _part, _part_offset FROM moving`, nil, func(rows driver.Rows) (at rowPlace, err error) {
		if shown++; shown == 150 {
			exec(`OPTIMIZE TABLE moving FINAL`)
			return at, errors.New("the connection broke")
		}
		err = rows.Scan(&at.part, &at.offset)
		return at, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(places) != 300 {
		t.Errorf("%d places of 300 rows, after %d were shown", len(places), shown)
	}
}

// TestOrderOfCopiesIsThatInWhichTheyCame, before and after merges: whoever looks
// later finds the same of two equal rows to be the surplus one.
func TestOrderOfCopiesIsThatInWhichTheyCame(t *testing.T) {
	inOrder := []rowPlace{
		{"202610_300_300_0", 0}, {"202611_9_9_0", 7}, {"202611_10_12_1", 0}, {"202611_10_12_1", 3}, {"202611_13_95_2", 2}, {"202611_96_100_1", 0}, {"202611_101_101_0_205", 4},
		{"all_2_2_0", 1}, {"all_11_11_0", 0},
	}
	shuffled := slices.Clone(inOrder)
	slices.Reverse(shuffled)
	slices.SortFunc(shuffled, rowPlace.compare)
	if !slices.Equal(shuffled, inOrder) {
		t.Errorf("%v", shuffled)
	}
}
