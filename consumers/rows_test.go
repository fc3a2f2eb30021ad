package consumers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/internal/storetest"
)

// TestRowHashIsClickHousesCityHash: what invariant 3 compares is computed on
// both sides.
func TestRowHashIsClickHousesCityHash(t *testing.T) {
	t.Parallel()
	db := storetest.ClickHouse(t).Conn(t)
	rng := rand.New(rand.NewPCG(1, 2))
	koff := []uint64{0, 1, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	hash := []uint32{0, 1, 1<<31 - 1, 1 << 31, 1<<32 - 1}
	for range 200 {
		koff, hash = append(koff, rng.Uint64()>>rng.IntN(64)), append(hash, rng.Uint32())
	}
	for i := range koff {
		var got uint64
		params := clickhouse.Parameters{"koff": fmt.Sprint(koff[i]), "hash": fmt.Sprint(hash[i])}
		ctx := clickhouse.Context(context.Background(), clickhouse.WithParameters(params))
		if err := db.QueryRow(ctx, `SELECT cityHash64({koff:UInt64}, {hash:UInt32})`).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if want := rowHash(koff[i], hash[i]); got != want {
			t.Fatalf("cityHash64(%d, %d) = %d in ClickHouse, %d here", koff[i], hash[i], got, want)
		}
	}
}

// TestInsertsCarryTheirSettings: the server knows every setting of invariant 1
// and has it in force while the views run.
func TestInsertsCarryTheirSettings(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	columns, want := "", map[string]string{"insert_deduplication_token": ""}
	for _, s := range insertSettings {
		if !s.Important && s.Key != "deduplicate_insert" { // which an older server does not need
			t.Errorf("%s may be ignored by a server that does not know it", s.Key)
		}
		want[s.Key] = s.Value
		columns += fmt.Sprintf(", ('%s', toString(getSetting('%s')))", s.Key, s.Key)
	}
	r.exec(`CREATE MATERIALIZED VIEW in_force ENGINE = MergeTree ORDER BY tuple() AS
		SELECT [('insert_deduplication_token', getSetting('insert_deduplication_token'))` + columns + `] AS settings FROM events`)
	r.consume(r.onesIn(0, 10, "id")...)
	r.start()
	r.requireExact()
	got := collect(r, `SELECT settings.1, settings.2 FROM (SELECT settings FROM in_force LIMIT 1) ARRAY JOIN settings`, func(rows driver.Rows) (kv [2]string, err error) {
		err = rows.Scan(&kv[0], &kv[1])
		return kv, err
	})
	for _, kv := range got {
		value := kv[1]
		switch value {
		case "true":
			value = "1"
		case "false":
			value = "0"
		}
		if kv[0] == "insert_deduplication_token" {
			want[kv[0]] = r.broker.Topics.Consumption + "/1/0/0-9/1/events"
		}
		if value != want[kv[0]] {
			t.Errorf("%s is %q in the views, want %q", kv[0], kv[1], want[kv[0]])
		}
		delete(want, kv[0])
	}
	if len(want) > 0 {
		t.Errorf("not in force: %v", want)
	}
}
