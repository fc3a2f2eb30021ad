package consumers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

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
