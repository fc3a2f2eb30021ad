package queryapi_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// ledger is a random ledger, as rows and as entries.
func (h *harness) ledger(workspace string, now time.Time, n int) []balance.Entry {
	h.t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	minute := now.Truncate(time.Minute)
	entries := make([]balance.Entry, n)
	batch, err := h.conn.PrepareBatch(h.t.Context(), `INSERT INTO credit_entries
		(workspace_id, time, event_id, type, grant_id, credits_micro, class, priority, effective_at, expires_at, epoch, koff)`)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := range entries {
		at := minute.Add(time.Duration(random.IntN(120*24*60)-100*24*60) * time.Minute)
		e := balance.Entry{
			EventID: fmt.Sprintf("l%d", i), GrantID: fmt.Sprintf("g%d", random.IntN(n)), Offset: testEpoch<<48 | uint64(i),
			At: schemas.Millis(at.UnixMilli()), EffectiveAt: schemas.NoInstant, ExpiresAt: schemas.NoInstant,
		}
		var kind, class string
		switch random.IntN(5) {
		case 0:
			kind, e.Type, e.Credits = "credits.adjusted", schemas.CreditsAdjusted, schemas.Credits(random.Int64N(200_000_000)-100_000_000)
			if random.IntN(2) == 0 {
				e.GrantID = ""
			}
		case 1:
			kind, e.Type = "credits.grant_voided", schemas.GrantVoided
		default:
			kind, class, e.Type, e.Credits = "credits.granted", "promo", schemas.CreditsGranted, schemas.Credits(1+random.Int64N(300_000_000))
			e.GrantID, e.Priority, e.EffectiveAt = fmt.Sprintf("g%d", i), uint16(random.IntN(3)*100), e.At
			if random.IntN(2) == 0 {
				class, e.Class = "paid", schemas.Paid
			}
			if random.IntN(4) > 0 {
				e.ExpiresAt = e.At + schemas.Millis(1+random.IntN(60*24*60))*60_000
			}
		}
		var effectiveAt, expiresAt *time.Time
		for instant, column := range map[schemas.Millis]**time.Time{e.EffectiveAt: &effectiveAt, e.ExpiresAt: &expiresAt} {
			if instant != schemas.NoInstant {
				t := time.UnixMilli(int64(instant)).UTC()
				*column = &t
			}
		}
		if e.EffectiveAt == schemas.NoInstant {
			effectiveAt = nil
		}
		if err := batch.Append(workspace, at, e.EventID, kind, e.GrantID, int64(e.Credits), class, e.Priority,
			effectiveAt, expiresAt, uint32(testEpoch), uint64(i)); err != nil {
			h.t.Fatal(err)
		}
		entries[i] = e
	}
	if err := batch.Send(); err != nil {
		h.t.Fatal(err)
	}
	return entries
}

func TestBalanceEqualsBurnDownOverNaiveSums(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	h := newHarness(t, now)
	entries := h.ledger("ws_a", now, 40)
	events := randomEvents("ws_a", now, 3_000)
	// Up to 5 minutes ahead is accepted and counts at once.
	events = append(events, event{"ws_a", "cmp_1", "lead", now.Add(4 * time.Minute), 1_234_567})
	h.insert(events...)
	all := func(event) bool { return true }

	check := func(t rapid.TB, asOf time.Time) {
		var got queryapi.Balance
		q := url.Values{}
		at, usageEnd, windowEnd := schemas.Millis(asOf.UnixMilli()), asOf, asOf
		if asOf.Equal(now) {
			usageEnd, windowEnd = now.Add(time.Hour), now.Truncate(time.Minute)
		} else {
			q.Set("as_of", asOf.Format(time.RFC3339))
		}
		h.get("/v1/workspaces/ws_a/balance", q, &got)
		segments, err := balance.Segments(entries, at)
		if err != nil {
			t.Fatal(err)
		}
		for i := range segments {
			to := time.UnixMilli(int64(segments[i].To))
			if i == len(segments)-1 {
				to = usageEnd
			}
			segments[i].Net, _, _ = naive(events, time.UnixMilli(int64(segments[i].From)), to, all)
		}
		want, err := balance.Burn(entries, segments, at)
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Remaining) != want.Remaining.String() || string(got.Overdraft) != want.Overdraft.String() ||
			string(got.Allocated) != want.Allocated.String() || string(got.Used) != want.Used.String() ||
			len(got.Grants) != len(want.Grants) || (got.DaysRemaining != nil && *got.DaysRemaining != want.DaysRemaining) ||
			(got.ExpiresAt == nil) != (want.ExpiresAt == schemas.NoInstant) {
			t.Fatalf("as of %v: %+v, want %+v", asOf, got, want)
		}
		for i, g := range got.Grants {
			w := want.Grants[i]
			if g.GrantID != w.GrantID || string(g.Used) != w.Used.String() || string(g.Remaining) != w.Remaining.String() || g.Status != string(w.Status) {
				t.Fatalf("as of %v: grant %+v, want %+v", asOf, g, w)
			}
		}
		net, refunds, _ := naive(events, windowEnd.Add(-time.Hour), windowEnd, all)
		if perHour := net.Add(refunds); string(got.BurnRate.Hour1) != perHour.String() {
			t.Fatalf("as of %v: %s burnt in the last hour, want %s", asOf, got.BurnRate.Hour1, perHour)
		}
	}
	check(t, now)
	rapid.Check(t, func(rt *rapid.T) {
		e := entries[rapid.IntRange(0, len(entries)-1).Draw(rt, "entry")]
		near := time.UnixMilli(int64(e.At)).UTC().Add(time.Duration(rapid.IntRange(-2, 2).Draw(rt, "minutes")) * time.Minute)
		if !near.Before(now) {
			near = now.Truncate(time.Minute)
		}
		check(rt, near)
	})
}

func TestBurnRateIsGrossPerHourBeforeTheWatermark(t *testing.T) {
	now := at(t, "2026-11-22T09:10:30Z")
	h := newHarness(t, now)
	h.insert(
		event{"ws_a", "", "", at(t, "2026-11-22T09:04:59.999Z"), 6_000_000},
		event{"ws_a", "", "", at(t, "2026-11-22T09:04:30Z"), -1_000_000},
		event{"ws_a", "", "", at(t, "2026-11-22T09:05:00Z"), 60_000_000},
		event{"ws_a", "", "", at(t, "2026-11-21T09:30:00Z"), 18_000_000})
	var got queryapi.Balance
	h.get("/v1/workspaces/ws_a/balance", nil, &got)
	if want := (queryapi.BurnRate{Minutes5: "720", Hour1: "66", Hours6: "11", Hours24: "3.5", Days7: "0.5"}); got.BurnRate != want {
		t.Errorf("without a watermark: %+v, want %+v", got.BurnRate, want)
	}
	h.progress("ws_a", 1, at(t, "2026-11-22T09:05:20Z"))
	h.get("/v1/workspaces/ws_a/balance", nil, &got)
	if want := (queryapi.BurnRate{Minutes5: "72", Hour1: "6", Hours6: "1", Hours24: "1", Days7: "0.142857"}); got.BurnRate != want {
		t.Errorf("behind: %+v, want %+v", got.BurnRate, want)
	}
	h.get("/v1/workspaces/ws_a/balance", url.Values{"as_of": {"2026-11-22T09:06:00Z"}}, &got)
	if want := queryapi.Decimal("792"); got.BurnRate.Minutes5 != want || got.AsOf == nil || *got.AsOf != "2026-11-22T09:06:00Z" {
		t.Errorf("as of: %+v of %v, want 5m %s", got.BurnRate, got.AsOf, want)
	}
}

// progress inserts the state of a workspace's partition in all three topics.
func (h *harness) progress(workspace string, next uint64, watermark time.Time) {
	h.t.Helper()
	partition := uint16(schemas.Partition([]byte(workspace), testPartitions))
	for _, topic := range schemas.DefaultTopics().Inputs() {
		h.exec("INSERT INTO ingest_progress (topic, epoch, kpart, next_offset, watermark, at) VALUES (?, ?, ?, ?, ?, ?)",
			topic, uint32(testEpoch), partition, next, watermark, watermark)
	}
}

func TestRunwayFollowsTheBalanceCurve(t *testing.T) {
	now := at(t, "2026-11-22T12:00:00Z")
	h := newHarness(t, now)
	day := 24 * time.Hour
	instant := func(after time.Duration) *time.Time { t := now.Add(after); return &t }
	const credit = schemas.Credits(1_000_000)
	for i, c := range []struct {
		name     string
		grants   []struct{ from, to *time.Time }
		credits  []schemas.Credits
		used     schemas.Credits // one event an hour ago
		want     *time.Time
		wantText string
	}{
		{name: "run out at the rate", credits: []schemas.Credits{72 * credit}, used: 24 * credit, want: instant(2 * day)},
		{name: "expiry comes first", credits: []schemas.Credits{100 * credit},
			grants: []struct{ from, to *time.Time }{{instant(-day), instant(day)}}, used: 24 * credit, want: instant(day)},
		{name: "a scheduled grant bridges", credits: []schemas.Credits{100 * credit, 48 * credit},
			grants: []struct{ from, to *time.Time }{{instant(-day), instant(day)}, {instant(day / 2), nil}}, used: 24 * credit, want: instant(3 * day)},
		{name: "a scheduled grant comes too late", credits: []schemas.Credits{48 * credit, 480 * credit},
			grants: []struct{ from, to *time.Time }{{instant(-day), nil}, {instant(2 * day), nil}}, used: 24 * credit, want: instant(day)},
		{name: "nothing used", credits: []schemas.Credits{credit}, wantText: "no_consumption"},
		{name: "overdraft", credits: []schemas.Credits{credit}, used: 2 * credit, wantText: "exhausted"},
		{name: "too long", credits: []schemas.Credits{credit * 10_000}, used: credit, wantText: "beyond_5_years"},
	} {
		t.Run(c.name, func(t *testing.T) {
			workspace := fmt.Sprintf("ws_%d", i)
			for g, credits := range c.credits {
				from, to := now.Add(-day), (*time.Time)(nil)
				if c.grants != nil {
					from, to = *c.grants[g].from, c.grants[g].to
				}
				h.grant(workspace, fmt.Sprintf("g%d", g), credits, from, to)
			}
			if c.used != 0 {
				h.insert(event{workspace, "", "", now.Add(-time.Hour), c.used})
			}
			var got queryapi.Balance
			h.get("/v1/workspaces/"+workspace+"/balance", nil, &got)
			run := got.Runway
			if c.want == nil && (run.ExhaustsAt != nil || run.Reason == nil || *run.Reason != c.wantText) {
				t.Errorf("%+v, want reason %s", run, c.wantText)
			}
			if c.want != nil && (run.ExhaustsAt == nil || run.Reason != nil) {
				t.Fatalf("%+v, want %v", run, c.want)
			}
			if c.want != nil {
				// The ledger's now is a millisecond past the minute.
				if off := at(t, string(*run.ExhaustsAt)).Sub(*c.want); off < 0 || off > time.Millisecond {
					t.Errorf("%s, want %v", *run.ExhaustsAt, c.want)
				}
			}
		})
	}
}

func TestFreshnessIsTheMinimumOverTheTopicsOfThePartition(t *testing.T) {
	now := at(t, "2026-11-22T12:00:00Z")
	h := newHarness(t, now)
	h.insert(event{"ws_a", "", "", now.Add(-time.Hour), 1})
	partition := uint16(schemas.Partition([]byte("ws_a"), testPartitions))
	topics := schemas.DefaultTopics()
	write := func(topic string, epoch uint32, partition uint16, next uint64, watermark time.Time) {
		h.exec("INSERT INTO ingest_progress (topic, epoch, kpart, next_offset, watermark, at) VALUES (?, ?, ?, ?, ?, ?)",
			topic, epoch, partition, next, watermark, watermark)
	}
	get := func() (queryapi.Figures, string) {
		var got queryapi.Balance
		r := h.get("/v1/workspaces/ws_a/balance", nil, &got)
		return got.Figures, r.header.Get("ETag")
	}
	write(topics.Consumption, testEpoch, partition, 10, now.Add(-2*time.Second))
	write(topics.Ledger, testEpoch, partition, 3, now.Add(-5*time.Second))
	write(topics.Campaigns, testEpoch+1, partition, 1000, now)
	write(topics.Campaigns, testEpoch, (partition+1)%testPartitions, 1000, now)
	if got, _ := get(); got.Freshness.Watermark != nil || got.Freshness.LagSeconds != nil || got.Revision != 13 {
		t.Errorf("with one topic unknown: %+v, revision %d", got.Freshness, got.Revision)
	}
	write(topics.Campaigns, testEpoch, partition, 1, now.Add(-1*time.Second))
	write(topics.Consumption, testEpoch, partition, 12, now)
	first, tag := get()
	if f := first.Freshness; f.Watermark == nil || *f.Watermark != "2026-11-22T11:59:55Z" || *f.LagSeconds != 5 || f.At != "2026-11-22T12:00:00Z" || first.Revision != 16 {
		t.Errorf("%+v of %v, revision %d", f, f.Watermark, first.Revision)
	}
	// Of two statements about one partition the larger holds.
	for i, last := range []uint64{19, 29} {
		h.exec(`INSERT INTO ingest_batches (topic, epoch, kpart, first, last, records) VALUES (?, ?, ?, ?, ?, 10)`,
			topics.Consumption, uint32(testEpoch), partition, uint64(i)*20, last)
	}
	second, changed := get()
	if second.Revision != 34 || changed == tag {
		t.Errorf("revision %d, tag %s after %s", second.Revision, changed, tag)
	}
	write(topics.Ledger, testEpoch, partition, 3, now)
	third, same := get()
	if *third.Freshness.Watermark == *first.Freshness.Watermark || same != changed {
		t.Errorf("freshness %+v changed the tag from %s to %s", third.Freshness, changed, same)
	}
	if slices.Contains([]string{"", "W/"}, tag) {
		t.Error("no tag")
	}
}
