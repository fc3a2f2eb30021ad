package main_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// cured is a way to reject events and to replay them with their cause gone.
type cured struct {
	code  string
	count int
	flags []string
}

// TestReplayedRejectionsCountOnceThoughTheReplayIsKilled rejects events of four
// kinds, cures each kind, kills the largest replay midway, and repeats all.
func TestReplayedRejectionsCountOnceThoughTheReplayIsKilled(t *testing.T) {
	t.Parallel()
	s := startStack(t)
	client, tables := s.client(), s.tables()
	bad := &badRecords{t: t, now: time.Now().UTC().Truncate(time.Millisecond), partitions: schemas.EmbeddedPartitions, epoch: 1}
	kinds := []cured{
		{"missing_field", 6000, []string{"--edit", `{"data":{"credits":"1000"}}`}},
		{"too_late", 50, []string{"--allow-late"}},
		{"conflict", 50, []string{"--new-id"}},
		{"wrong_topic", 50, nil},
	}
	var units [][]sent
	want := uint64(0) // events that count in the end
	for _, kind := range kinds {
		want += uint64(kind.count)
		for range kind.count {
			switch kind.code {
			case "missing_field":
				units = append(units, []sent{bad.spoiled(consumed, kind.code, "", func(_, data object) { delete(data, "credits") })})
			case "too_late":
				units = append(units, []sent{bad.spoiled(consumed, kind.code, "", func(event, _ object) {
					event["time"] = bad.now.AddDate(0, 0, -60).Format(time.RFC3339Nano)
				})})
			case "conflict": // the first of two counts, and the second twice rejected counts once
				event, data := bad.good(consumed)
				first := bad.record(consumption, "", "", event)
				data["credits"] = "3"
				second := bad.record(consumption, kind.code, "", event)
				units = append(units, []sent{first, second, second})
				want++
			case "wrong_topic":
				event, _ := bad.good(consumed)
				units = append(units, []sent{bad.record(homeOf(updated), kind.code, "", event)})
			}
		}
	}
	produceAll(t, client, units)
	for _, topic := range schemas.DefaultTopics().Inputs() {
		awaitDone(t, client, tables, topic)
	}
	// The engine may end with the replay that is killed, and come back.
	count := func(query string) (n uint64) {
		t.Helper()
		var last error
		storetest.Wait(t, settleWithin, "ClickHouse answers", func() (bool, error) {
			last = tables.QueryRow(t.Context(), query).Scan(&n)
			if refused := (*clickhouse.Exception)(nil); errors.As(last, &refused) {
				return false, last
			}
			return last == nil, nil
		})
		return n
	}
	if n, want := count(`SELECT count() FROM rejections`), uint64(6000+50+100+50); n != want {
		t.Fatalf("%d records are rejected instead of %d", n, want)
	}

	replay := func(kind cured) []string {
		return append([]string{"rejections", "replay", "--data", s.data, "--kafka-brokers", s.broker, "--code", kind.code}, kind.flags...)
	}
	killed := start(t, replay(kinds[0])...)
	const begun = `SELECT uniqExact(topic, kpart, koff) FROM rejection_replays`
	storetest.Wait(t, settleWithin, "the replay is under way", func() (bool, error) {
		return count(begun+` WHERE state = 'sent'`) >= 400, nil
	})
	killed.Kill()
	if n := count(begun); n >= uint64(kinds[0].count) {
		t.Fatalf("the replay was killed after its end: %d records", n)
	}
	for range 2 {
		for _, kind := range kinds {
			mustRun(t, replay(kind)...)
		}
		mustRun(t, append(replay(kinds[0]), "--again")...)
		for _, topic := range schemas.DefaultTopics().Inputs() {
			awaitDone(t, client, tables, topic)
		}
		if rows, ids := count(`SELECT count() FROM events`), count(`SELECT uniqExact(workspace_id, event_id) FROM events`); rows != want || ids != want {
			t.Fatalf("%d rows of %d events are counted instead of %d", rows, ids, want)
		}
		used := uint64(6000+50+50+50)*1000 + 50*3
		if got := count(`SELECT toUInt64(sum(credits_micro)) FROM usage_1d`); got != used*1_000_000 {
			t.Fatalf("%d micro-credits are used instead of %d", got, used*1_000_000)
		}
	}
	if n := count(`SELECT count() FROM (SELECT argMax(state, (at, state)) AS last FROM rejection_replays GROUP BY topic, epoch, kpart, koff) WHERE last != 'sent'`); n != 0 {
		t.Errorf("%d replays have no end", n)
	}
}
