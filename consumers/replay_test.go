package consumers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
)

// TestReplayPutsInWhatIsLostAndCountsAGap loses a raw row and a row of the ledger
// while nobody consumes: reading the offsets again brings both back, and a second
// time changes nothing.
func TestReplayPutsInWhatIsLostAndCountsAGap(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	c := r.start()
	for part := range 3 {
		r.consume(r.traffic(uint64(part), 300, 0.1)...)
		r.waitDone()
	}
	r.requireExact()
	topic := r.broker.Topics.Consumption
	_, end := r.logRange(topic, 0)
	c.mustStop(t)
	r.exec(`DELETE FROM events WHERE kpart = 0 AND koff = (SELECT min(koff) FROM events WHERE kpart = 0)`)
	r.exec(`DELETE FROM ingest_batches WHERE topic = ? AND kpart = 0 AND first = (SELECT min(first) FROM ingest_batches WHERE topic = ? AND kpart = 0 AND first > 0)`, topic, topic)
	for _, want := range []string{"repaired", "ok"} {
		again, err := New(r.config())
		if err != nil {
			t.Fatal(err)
		}
		done, err := again.Replay(context.Background(), Replay{Topic: topic, Partition: 0, From: 0, To: end - 1})
		if err != nil || len(done) < 2 {
			t.Fatalf("%+v, %v", done, err)
		}
		t.Logf("%+v", done)
		if string(done[0].State) != want || string(done[1].State) != want {
			t.Errorf("the first two ranges are %s and %s, want %s", done[0].State, done[1].State, want)
		}
		r.requireExact()
	}
}

// replay reads offsets of a partition of the consumption topic again.
func (r *rig) replay(ctx context.Context, partition int, from, to int64, change ...func(*Config)) ([]Replayed, error) {
	r.t.Helper()
	config := r.config()
	for _, f := range change {
		f(&config)
	}
	c, err := New(config)
	if err != nil {
		r.t.Fatal(err)
	}
	return c.Replay(ctx, Replay{Topic: r.broker.Topics.Consumption, Partition: partition, From: from, To: to})
}

// TestReplayIsRefusedWhereAnotherOwnsThePartition replays beside a consumer,
// until the group has left the partition to that one: nothing is read then, and
// where the group gives the partition to the replay, the consumer loses nothing.
func TestReplayIsRefusedWhereAnotherOwnsThePartition(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.start()
	for try := 0; ; try++ {
		r.consume(r.traffic(uint64(try), 100, 0.1)...)
		r.waitDone()
		done, err := r.replay(context.Background(), try%r.parts, 0, 0)
		if errors.Is(err, errTaken) {
			if len(done) > 0 {
				t.Errorf("%+v although it was refused", done)
			}
			break
		}
		if err != nil || len(done) != 1 || done[0].State != audits.Fine {
			t.Fatalf("%+v, %v", done, err)
		}
		if try == 20 {
			t.Fatal("the group gave the partition to each of 20 replays")
		}
	}
	r.consume(r.traffic(99, 100, 0.1)...)
	r.requireExact()
}

// TestReplayThatIsStoppedMidwayIsRunAgain loses a raw row in each of many ranges
// and stops the replay once some are back; another one, over other offsets that
// overlap, ends it.
func TestReplayThatIsStoppedMidwayIsRunAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	c := r.start()
	for i := range 12 {
		r.consume(r.onesIn(0, 10, fmt.Sprint(i))...)
		r.waitDone()
	}
	r.requireExact()
	c.mustStop(t)
	r.exec(`DELETE FROM events WHERE koff % 10 = 3`)
	whole := func() bool { return r.number(`SELECT count() FROM events`) == 120 }
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		_, err := r.replay(ctx, 0, 0, 119)
		ended <- err
	}()
	r.wait("some rows are back", func() bool { return r.number(`SELECT count() FROM events`) > 110 })
	stop()
	if err := <-ended; err == nil && !whole() {
		t.Error("a replay that was stopped says that it is done")
	}
	for _, s := range []span{{0, 64}, {35, 119}, {0, 119}} {
		if done, err := r.replay(context.Background(), 0, s.first, s.last); err != nil || len(done) == 0 {
			t.Fatalf("%+v, %v", done, err)
		}
	}
	r.requireExact()
	if _, err := r.replay(context.Background(), 0, 100, 120); err == nil {
		t.Error("an offset that was never counted is replayed")
	}
}

// TestReplayLeavesWhatMayHaveAgedOut lets the raw events of a minute age out,
// which two ranges counted into: a replay of one of them must not make it all
// that the minute has.
func TestReplayLeavesWhatMayHaveAgedOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	ttl, err := schemas.ParseEventsTTL("70d")
	if err != nil {
		t.Fatal(err)
	}
	kept := func(c *Config) { c.EventsTTL = ttl }
	c := r.start(kept)
	ws, at := r.workspaceIn(0), time.Now().AddDate(0, 0, -80).Truncate(time.Minute)
	for i := range 2 {
		for j := range 10 {
			s := r.consumed(ws, fmt.Sprintf("%d-%d", i, j), "", "", 7, at)
			s.time = at.Add(time.Hour)
			r.consume(s)
		}
		r.waitDone()
	}
	r.consume(r.onesIn(0, 10, "new")...)
	r.requireExact()
	_, end := r.logRange(r.broker.Topics.Consumption, 0)
	c.mustStop(t)
	r.exec(`DELETE FROM events WHERE time < now() - INTERVAL 75 DAY`)
	r.exec(`DELETE FROM events WHERE event_id = 'new-5'`)
	done, err := r.replay(context.Background(), 0, 0, end-1, kept)
	if err != nil {
		t.Fatal(err)
	}
	states := make(map[audits.State]int)
	for _, d := range done {
		states[d.State]++
	}
	if states[audits.Unprovable] < 2 || states[audits.Repaired] != 1 {
		t.Errorf("%+v", done)
	}
	if n := r.number(`SELECT toUInt64(sum(events)) FROM usage_1d`); n != 30 {
		t.Errorf("%d events in the days, want 30", n)
	}
	if n := r.number(`SELECT count() FROM events`); n != 10 {
		t.Errorf("%d raw events, want 10", n)
	}
}
