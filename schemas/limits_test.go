package schemas

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRulesChangeWithEveryRuleAndOnlyThen(t *testing.T) {
	base := DefaultLimits()
	seen := map[string]string{}
	note := func(what, rules string) {
		if other, ok := seen[rules]; ok {
			t.Errorf("%s has the rules of %s", what, other)
		}
		if len(rules) != 16 {
			t.Errorf("rules of %s are %q", what, rules)
		}
		seen[rules] = what
	}
	note("the default", base.Rules(12))
	note("four partitions", base.Rules(4))
	for what, change := range map[string]func(*Limits){
		"another size":            func(l *Limits) { l.MaxValueBytes++ },
		"another lateness":        func(l *Limits) { l.Lateness += time.Millisecond },
		"another future":          func(l *Limits) { l.Ahead += time.Millisecond },
		"another import lateness": func(l *Limits) { l.ImportLateness = 0 },
	} {
		limits := DefaultLimits()
		change(&limits)
		note(what, limits.Rules(12))
	}
	// A consumer that finds an intent of other rules may have to park
	// (invariant 4): this value changes only with decoderVersion.
	if got, want := base.Rules(12), "09130b7f8547e574"; got != want {
		t.Errorf("the default rules are %s, were %s", got, want)
	}
}

func TestImportsHaveNoLimitWhereEventsAreKeptForEver(t *testing.T) {
	limits := DefaultLimits()
	limits.ImportLateness = EventsTTL{}.ImportLateness()
	rec := &Record{Timestamp: maxInstant - 1, Headers: []Header{{Key: ImportHeader, Value: []byte("imp_1")}}}
	ev := &Event{Type: CreditsConsumed, Time: minInstant}
	if rejected := limits.Late(rec, ev); rejected != nil {
		t.Error(rejected)
	}
	rec.Headers = nil
	if rejected := limits.Late(rec, ev); rejected == nil || rejected.Code != TooLate {
		t.Errorf("without the header: %v", rejected)
	}
}

func TestOriginReadsBackAsItIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Origin{
			Topic:     rapid.StringMatching(`[A-Za-z0-9._-]{1,249}`).Draw(t, "topic"),
			Partition: rapid.IntRange(0, 65535).Draw(t, "partition"),
			Offset:    rapid.Int64Range(0, 1<<62).Draw(t, "offset"),
			Epoch:     rapid.Uint32().Draw(t, "epoch"),
			Timestamp: Millis(rapid.Int64Range(-1, int64(maxInstant)).Draw(t, "timestamp")),
		}
		got, err := ParseOrigin([]byte(want.String()))
		if err != nil || got != want {
			t.Fatalf("%s reads %v, %v", want, got, err)
		}
	})
	for _, text := range []string{"", "a/b", "t/1/2/3/x", "/1/2/3/4", "t/-1/2/3/4", "t/1/2/3/4/5", "t/1/-2/3/4"} {
		if _, err := ParseOrigin([]byte(text)); !errors.Is(err, ErrOrigin) {
			t.Errorf("ParseOrigin(%q): %v", text, err)
		}
	}
	rec := &Record{Headers: []Header{{OriginHeader, []byte("a/1/2/3/4")}, {OriginHeader, []byte("nonsense")}}}
	if origin, ok := OriginOf(rec); ok {
		t.Errorf("nonsense is origin %v", origin)
	}
}

func TestEventsTTL(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"13mo": "2025-10-22T09:00:00.000Z",
		"400d": "2025-10-18T09:00:00.000Z",
		"70d":  "2026-09-13T09:00:00.000Z",
		"0":    "",
	} {
		ttl, err := ParseEventsTTL(text)
		if err != nil {
			t.Fatal(err)
		}
		from, ok := ttl.RawFrom(now)
		if from.String() != want || ok != (want != "") || ttl.String() != text {
			t.Errorf("%s: raw from %s, %v, want %s", ttl, from, ok, want)
		}
		// Nothing that is imported is much older than what raw events promise.
		if lateness := ttl.ImportLateness(); ok && now.Add(-lateness).Before(from.Time().AddDate(0, 0, -59)) {
			t.Errorf("%s accepts imports %s old", ttl, lateness)
		}
	}
	for _, text := range []string{"", "13", "mo", "d", "-1d", "1mo", "2mo", "69d", "61mo", "1827d", "1.5mo", "13 mo", "99999999999d"} {
		if ttl, err := ParseEventsTTL(text); err == nil {
			t.Errorf("ParseEventsTTL(%q) = %s", text, ttl)
		}
	}
	if DefaultEventsTTL().String() != "13mo" || DefaultEventsTTL().ImportLateness() != DefaultLimits().ImportLateness {
		t.Error("the default TTL and the default limits differ")
	}
}
