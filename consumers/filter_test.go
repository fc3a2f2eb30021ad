package consumers

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"pgregory.net/rapid"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// TestFilter has an engine of its own: tests that kill consumers make the
// shared one abort.
func TestFilter(t *testing.T) {
	t.Parallel()
	engine := storetest.NewEngine(t, storetest.EngineOptions{})
	t.Run("EqualsTheOracle", func(t *testing.T) { filterEqualsTheOracle(t, engine.Database(t)) })
	t.Run("StandsAReplayStormOver35Days", func(t *testing.T) { filterStandsAStorm(t, engine.Database(t)) })
	t.Run("HoldsItsBoundAtOneInstant", func(t *testing.T) { filterHoldsItsBound(t, engine.Database(t), 0) })
	t.Run("HoldsItsBoundInNoOrderOfTime", func(t *testing.T) { filterHoldsItsBound(t, engine.Database(t), 30*24*time.Hour) })
	t.Run("LooksUpWhatIsRarelyTouched", func(t *testing.T) { filterLooksUp(t, engine.Database(t)) })
	t.Run("KnowsEarlierEpochs", func(t *testing.T) { filterKnowsEarlierEpochs(t, engine.Database(t)) })
	t.Run("PartitionsAsSchemasDoes", func(t *testing.T) { clickHousePartitions(t, engine.Database(t)) })
}

// filterEqualsTheOracle: whatever comes again after whatever distance, however
// the log is cut into batches, whenever the partition moves, the verdicts are
// the oracle's and a batch built again has the same bytes.
func filterEqualsTheOracle(t *testing.T, db *storetest.Database) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	bed := newTestbed(t, db, 150, 64<<10)
	rapid.Check(t, func(t *rapid.T) {
		memory := rapid.SampledFrom([]int{16 << 10, 64 << 10}).Draw(t, "memory")
		b := &testbed{c: bed.c, db: bed.db, span: bed.span, memory: memory, oracle: naiveFilter{window: bed.span}}
		if err := b.db.Exec(context.Background(), `TRUNCATE TABLE events`); err != nil {
			t.Fatalf("%v", err)
		}
		var events []struct {
			id      int
			at      time.Time
			credits schemas.Credits
		}
		send := func(t *rapid.T) {
			for range rapid.IntRange(1, 400).Draw(t, "events") {
				kind := rapid.IntRange(0, 9).Draw(t, "kind")
				if kind < 5 || len(events) == 0 {
					age := rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour, 35 * 24 * time.Hour}).Draw(t, "age")
					at := now.Add(-time.Duration(rapid.Int64Range(0, int64(age)-1).Draw(t, "before")))
					events = append(events, struct {
						id      int
						at      time.Time
						credits schemas.Credits
					}{len(events), at.Truncate(time.Millisecond), 1})
					e := events[len(events)-1]
					b.log = append(b.log, use(e.id, e.at, e.credits, now))
					continue
				}
				e := events[rapid.IntRange(0, len(events)-1).Draw(t, "again")]
				switch kind {
				case 8:
					e.credits = 2 // a conflict
				case 9:
					e.at = e.at.Add(-time.Hour * 24 * 10).Add(time.Millisecond) // another time
					if now.Sub(e.at) > 35*24*time.Hour {
						e.at = now
					}
				}
				b.log = append(b.log, use(e.id, e.at, e.credits, now))
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"Send":   send,
			"Build":  func(t *rapid.T) { b.build(t, rapid.IntRange(1, 500).Draw(t, "records")) },
			"Finish": func(t *rapid.T) { b.finish(t) },
			"Insert": func(t *rapid.T) { // written, but not yet said to be done
				for _, x := range b.batches {
					if !x.inserted {
						b.insert(t, x)
						return
					}
				}
			},
			"Move": func(t *rapid.T) { b.takeOver(t) },
		})
	})
}

// filterStandsAStorm replays events of five weeks in random order through a
// filter that can hold a small part of them, with changes of owner.
func filterStandsAStorm(t *testing.T, db *storetest.Database) {
	b := newTestbed(t, db, 1000, 64<<10)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	rng := rand.New(rand.NewPCG(3, 4))
	const events = 12_000
	const weeks = 35 * 24 * time.Hour
	for i := range events { // in order of time, as a live stream is
		at := now.Add(-weeks + time.Duration(i)*(weeks/events)).Truncate(time.Millisecond)
		b.log = append(b.log, use(i, at.Add(time.Second), 1, now))
	}
	for i := range events / 2 {
		e := rng.IntN(events)
		b.log = append(b.log, b.log[e])
		if i%100 == 0 { // with a new one now and then
			b.log = append(b.log, use(events+i, now.Add(-time.Duration(rng.Int64N(int64(weeks)))).Truncate(time.Millisecond), 1, now))
		}
	}
	for i := 0; len(b.batches) == 0 || b.batches[len(b.batches)-1].last+1 < int64(len(b.log)); i++ {
		b.build(t, 1500)
		if i%2 == 1 {
			b.finish(t)
			b.finish(t)
		}
		if i%3 == 2 {
			b.takeOver(t)
		}
	}
	if n := len(b.oracle.counted); n != events+events/200 {
		t.Errorf("%d events are counted, want %d", n, events+events/200)
	}
}

// filterHoldsItsBound: events at one millisecond, which no slice can split, or
// spread so that every slice always has some that ClickHouse does not hold. A
// batch is always on its way. Each event comes again later, some with other
// content, and the partition moves.
func filterHoldsItsBound(t *testing.T, db *storetest.Database, over time.Duration) {
	b := newTestbed(t, db, 200, 64<<10)
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	rng := rand.New(rand.NewPCG(9, 10))
	const events, size = 9000, 300
	for i := range events {
		at := now.Add(-time.Duration(rng.Int64N(int64(over) + 1))).Truncate(time.Millisecond)
		b.log = append(b.log, use(i, at, 1, now))
		if i >= 1000 && i%3 == 0 {
			again := b.log[rng.IntN(len(b.log)-500)]
			if i%9 == 0 {
				again.value = bytes.Replace(again.value, []byte(`"credits":"1"`), []byte(`"credits":"2"`), 1)
			}
			b.log = append(b.log, again)
		}
	}
	for i := 0; len(b.batches) == 0 || b.batches[len(b.batches)-1].last+1 < int64(len(b.log)); i++ {
		b.build(t, size)
		if i > 0 {
			b.finish(t)
		}
		if i%10 == 9 {
			b.takeOver(t)
		}
	}
	if n := len(b.oracle.counted); n != events {
		t.Errorf("%d events are counted, want %d", n, events)
	}
}

// filterLooksUp: single questions about a large slice go by primary key, until
// they have cost as much as loading it.
func filterLooksUp(t *testing.T, db *storetest.Database) {
	b := newTestbed(t, db, 1000, 8<<20)
	now := time.Date(2026, 11, 22, 12, 30, 0, 0, time.UTC)
	rng := rand.New(rand.NewPCG(7, 8))
	const events = 20_000
	for i := range events {
		b.log = append(b.log, use(i, now.Add(-time.Hour+time.Duration(i)*100*time.Millisecond), 1, now))
	}
	b.build(t, events)
	b.finish(t)
	for range 100 {
		at := now.Add(-time.Duration(rng.Int64N(int64(time.Hour)))).Truncate(time.Millisecond)
		fresh := use(len(b.log), at, 1, now)
		e := b.log[rng.IntN(events-2000)]
		b.log = append(b.log, e, fresh, e)
	}
	b.takeOver(t)
	lookedUp := false
	for b.batches[len(b.batches)-1].last+1 < int64(len(b.log)) {
		b.build(t, 3)
		for _, x := range b.part.filter.(*consumedFilter).slices.list {
			lookedUp = lookedUp || x.misses > 0 && !x.complete
		}
	}
	if !lookedUp {
		t.Error("the slice was loaded for a single question")
	}
	held := 0
	for _, x := range b.part.filter.(*consumedFilter).slices.list {
		if x.complete {
			held += x.table.n
		}
	}
	if held < events {
		t.Errorf("%d ids are held after many questions, want all %d", held, events)
	}
}

// filterKnowsEarlierEpochs: an event counted in another epoch, perhaps in
// another partition, is a duplicate at the same instant.
func filterKnowsEarlierEpochs(t *testing.T, db *storetest.Database) {
	conn := db.Conn(t)
	ctx := context.Background()
	for p := range 6 {
		for i := range 40 {
			ws := fmt.Sprintf("ws_%d", i)
			if schemas.Partition([]byte(ws), 6) != p {
				continue
			}
			if err := conn.Exec(ctx, `INSERT INTO events (workspace_id, event_id, time, content_hash, epoch, kpart, koff) VALUES (?, 'e', fromUnixTimestamp64Milli(?, 'UTC'), 7, 1, ?, ?)`,
				ws, int64(1_790_000_000_000), p, i); err != nil {
				t.Fatal(err)
			}
		}
	}
	known := 0
	for p := range 4 { // four partitions now
		f, err := newConsumedFilter(ctx, conn, where{epoch: 2, kpart: uint16(p), partitions: 4}, 0, windowOffsets, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			ws := fmt.Sprintf("ws_%d", i)
			if schemas.Partition([]byte(ws), 4) != p {
				continue
			}
			for _, test := range []struct {
				id   string
				at   schemas.Millis
				hash uint32
				want verdict
			}{
				{"e", 1_790_000_000_000, 7, duplicate}, {"e", 1_790_000_000_000, 8, conflict},
				{"e", 1_790_000_000_001, 7, fresh}, {"f", 1_790_000_000_000, 7, fresh},
			} {
				ev := &schemas.Event{WorkspaceID: []byte(ws), ID: []byte(test.id), Time: test.at, ContentHash: test.hash}
				got := f.check(ev, 0)
				if got == unresolved {
					if err := f.resolve(ctx); err != nil {
						t.Fatal(err)
					}
					got = f.check(ev, 0)
				}
				if got != test.want {
					t.Errorf("%s %+v is %d, want %d", ws, test, got, test.want)
				}
			}
			known++
		}
	}
	if known != 40 {
		t.Errorf("%d workspaces have a partition, want 40", known)
	}
}

// clickHousePartitions: the condition on earlier epochs finds a workspace's
// partition as Kafka's producers do.
func clickHousePartitions(t *testing.T, db *storetest.Database) {
	conn := db.Conn(t)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		ws := make([]byte, 1+rng.IntN(40))
		for i := range ws {
			ws[i] = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789._:-"[rng.IntN(46)]
		}
		n := 1 + rng.IntN(100)
		var got uint32
		ctx := clickhouse.Context(context.Background(), clickhouse.WithParameters(clickhouse.Parameters{"ws": string(ws), "n": fmt.Sprint(n)}))
		if err := conn.QueryRow(ctx, `SELECT toUInt32(kafkaMurmurHash({ws:String}) % {n:UInt32})`).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if want := schemas.Partition(ws, n); int(got) != want {
			t.Fatalf("%s of %d partitions is in %d for ClickHouse, %d here", ws, n, got, want)
		}
	}
}
