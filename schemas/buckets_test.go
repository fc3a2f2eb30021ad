package schemas

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	tz, err := LoadZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return tz
}

func instantAt(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestEdges holds the local clocks that are hard to cut.
func TestEdges(t *testing.T) {
	for _, test := range []struct {
		claim    string
		tz       string
		from, to string
		bucket   Bucket
		week     time.Weekday
		want     []string
	}{
		{"Havana has no midnight when summer time starts: the day starts at 01:00", "America/Havana",
			"2026-03-07T05:00:00Z", "2026-03-10T04:00:00Z", Day, time.Monday,
			[]string{"2026-03-07T00:00:00-05:00", "2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00", "2026-03-10T00:00:00-04:00"}},
		{"Havana has midnight twice when it ends: the day starts at the first", "America/Havana",
			"2026-10-31T04:00:00Z", "2026-11-02T05:00:00Z", Day, time.Monday,
			[]string{"2026-10-31T00:00:00-04:00", "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"}},
		{"Cairo has no midnight on the last Friday of April", "Africa/Cairo",
			"2026-04-22T22:00:00Z", "2026-04-24T21:00:00Z", Day, time.Monday,
			[]string{"2026-04-23T00:00:00+02:00", "2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"}},
		{"Berlin has a day of 23 hours and one of 25", "Europe/Berlin",
			"2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", Day, time.Monday,
			[]string{"2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"}},
		{"Berlin's repeated hour is two points", "Europe/Berlin",
			"2026-10-24T23:30:00Z", "2026-10-25T02:30:00Z", Hour, time.Monday,
			[]string{"2026-10-25T01:30:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00", "2026-10-25T03:30:00+01:00"}},
		{"Lord Howe goes back half an hour: a point of 30 minutes", "Australia/Lord_Howe",
			"2026-04-04T14:00:00Z", "2026-04-04T16:30:00Z", Hour, time.Monday,
			[]string{"2026-04-05T01:00:00+11:00", "2026-04-05T01:30:00+10:30", "2026-04-05T02:00:00+10:30", "2026-04-05T03:00:00+10:30"}},
		{"Lord Howe goes forward half an hour: a point of 30 minutes", "Australia/Lord_Howe",
			"2026-10-03T14:30:00Z", "2026-10-03T17:00:00Z", Hour, time.Monday,
			[]string{"2026-10-04T01:00:00+10:30", "2026-10-04T02:30:00+11:00", "2026-10-04T03:00:00+11:00", "2026-10-04T04:00:00+11:00"}},
		{"Kathmandu's hours start at a quarter past in UTC", "Asia/Kathmandu",
			"2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z", Hour, time.Monday,
			[]string{"2026-01-01T05:45:00+05:45", "2026-01-01T06:00:00+05:45", "2026-01-01T07:00:00+05:45", "2026-01-01T07:45:00+05:45"}},
		{"Kolkata's months start at half past in UTC", "Asia/Kolkata",
			"2025-12-31T18:30:00Z", "2026-03-01T00:00:00Z", Month, time.Monday,
			[]string{"2026-01-01T00:00:00+05:30", "2026-02-01T00:00:00+05:30", "2026-03-01T00:00:00+05:30", "2026-03-01T05:30:00+05:30"}},
		{"St John's put its clock back over midnight: the hour before belongs to the new day", "America/St_Johns",
			"2006-10-28T02:30:00Z", "2006-10-30T03:30:00Z", Day, time.Monday,
			[]string{"2006-10-28T00:00:00-02:30", "2006-10-29T00:00:00-02:30", "2006-10-30T00:00:00-03:30"}},
		{"a range that starts in that hour ends its first day at the next", "America/St_Johns",
			"2006-10-29T02:45:00Z", "2006-10-30T03:30:00Z", Day, time.Monday,
			[]string{"2006-10-28T23:15:00-03:30", "2006-10-30T00:00:00-03:30"}},
		{"Apia left out 30 December 2011", "Pacific/Apia",
			"2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z", Day, time.Monday,
			[]string{"2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"}},
		{"weeks start on Monday, the ends are clipped", "UTC",
			"2026-11-18T12:00:00Z", "2026-12-01T00:00:00Z", Week, time.Monday,
			[]string{"2026-11-18T12:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"}},
		{"weeks start on Sunday where the workspace says so", "UTC",
			"2026-11-22T00:00:00Z", "2026-11-30T00:00:00Z", Week, time.Sunday,
			[]string{"2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z"}},
		{"a range within one bucket is one point", "UTC",
			"2026-11-22T00:00:00.25Z", "2026-11-22T00:00:00.75Z", Minute, time.Monday,
			[]string{"2026-11-22T00:00:00.25Z", "2026-11-22T00:00:00.75Z"}},
		{"quarters are UTC's in every zone", "Asia/Kathmandu",
			"2026-01-01T00:07:00Z", "2026-01-01T00:31:00Z", QuarterHour, time.Monday,
			[]string{"2026-01-01T05:52:00+05:45", "2026-01-01T06:00:00+05:45", "2026-01-01T06:15:00+05:45", "2026-01-01T06:16:00+05:45"}},
	} {
		t.Run(test.claim, func(t *testing.T) {
			cut, err := Edges(zone(t, test.tz), instantAt(t, test.from), instantAt(t, test.to), test.bucket, test.week)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, edge := range cut {
				got = append(got, edge.Format(time.RFC3339Nano))
			}
			if !slices.Equal(got, test.want) {
				t.Fatalf("got  %v\nwant %v", got, test.want)
			}
		})
	}
}

func TestEdgesRefusals(t *testing.T) {
	from := instantAt(t, "2026-01-01T00:00:00Z")
	if _, err := Edges(time.UTC, from, from, Day, time.Monday); !errors.Is(err, ErrEmptyRange) {
		t.Errorf("empty range: %v", err)
	}
	if _, err := Edges(time.UTC, from, from.Add(time.Hour), "2h", time.Monday); !errors.Is(err, ErrBucket) {
		t.Errorf("unknown bucket: %v", err)
	}
	if cut, err := Edges(time.UTC, from, from.Add(MaxPoints*time.Minute), Minute, time.Monday); err != nil || len(cut) != MaxPoints+1 {
		t.Errorf("%d points: %d edges, %v", MaxPoints, len(cut), err)
	}
	if _, err := Edges(time.UTC, from, from.Add(MaxPoints*time.Minute+1), Minute, time.Monday); !errors.Is(err, ErrTooManyPoints) {
		t.Errorf("%d points: %v", MaxPoints+1, err)
	}
}

func TestAutoBucketIsTheFinestWithAtMost200Points(t *testing.T) {
	from := instantAt(t, "2026-01-01T00:00:00Z")
	for span, want := range map[time.Duration]Bucket{
		time.Hour:                       Minute,
		200 * time.Minute:               Minute,
		201 * time.Minute:               QuarterHour,
		50 * time.Hour:                  QuarterHour,
		51 * time.Hour:                  Hour,
		200 * time.Hour:                 Hour,
		30 * 24 * time.Hour:             Day,
		365 * 24 * time.Hour:            Week,
		5 * 365 * 24 * time.Hour:        Month,
		40 * 365 * 24 * time.Hour:       Month,
		200*time.Hour + time.Nanosecond: Day,
	} {
		if got := AutoBucket(time.UTC, from, from.Add(span), time.Monday); got != want {
			t.Errorf("AutoBucket over %s = %s, want %s", span, got, want)
		}
	}
}

// checkEdges asserts what holds for every cut.
func checkEdges(t testing.TB, tz *time.Location, from, to time.Time, bucket Bucket, week time.Weekday) {
	t.Helper()
	cut, err := Edges(tz, from, to, bucket, week)
	if errors.Is(err, ErrTooManyPoints) || errors.Is(err, ErrEmptyRange) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if !cut[0].Equal(from) || !cut[len(cut)-1].Equal(to) || len(cut) > MaxPoints+1 {
		t.Fatalf("cut from %s to %s into %d", cut[0], cut[len(cut)-1], len(cut))
	}
	for i := 1; i < len(cut); i++ {
		if !cut[i-1].Before(cut[i]) {
			t.Fatalf("edge %s is not before %s", cut[i-1], cut[i])
		}
	}
	// The oracle: the label of the bucket an instant falls in. A bucket has
	// one label, unless the clock was put back; an inner edge starts another.
	label := func(at time.Time) string {
		switch bucket {
		case Minute:
			return at.UTC().Format("2006-01-02 15:04")
		case QuarterHour:
			return at.UTC().Truncate(15 * time.Minute).Format("2006-01-02 15:04")
		case Hour:
			return at.Format("2006-01-02 15 -0700")
		case Week:
			return at.AddDate(0, 0, -(int(at.Weekday())-int(week)+7)%7).Format("2006-01-02")
		case Month:
			return at.Format("2006-01")
		}
		return at.Format("2006-01-02")
	}
	for _, edge := range cut[1 : len(cut)-1] {
		if before, after := label(edge.Add(-time.Nanosecond)), label(edge); before == after {
			t.Fatalf("edge %s by %s in %s cuts through %s", edge, bucket, tz, before)
		}
	}
}

func FuzzEdges(f *testing.F) {
	names := []string{"UTC", "America/Havana", "Africa/Cairo", "Australia/Lord_Howe", "Asia/Kathmandu", "Asia/Kolkata", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Tehran", "Pacific/Apia", "Pacific/Chatham", "America/Caracas", "Africa/Casablanca", "Antarctica/Troll", "Asia/Pyongyang"}
	buckets := []Bucket{Minute, QuarterHour, Hour, Day, Week, Month}
	f.Add(uint8(1), int64(1772900000), uint32(3*86400), uint8(3), uint8(1))
	f.Add(uint8(3), int64(1775311200), uint32(86400), uint8(2), uint8(0))
	f.Add(uint8(10), int64(1325100000), uint32(40*86400), uint8(4), uint8(6))
	f.Fuzz(func(t *testing.T, name uint8, from int64, span uint32, bucket, week uint8) {
		start := time.Unix(946684800+(from&0x7fffffff), 0)
		checkEdges(t, zone(t, names[int(name)%len(names)]), start, start.Add(time.Duration(span)*time.Second),
			buckets[int(bucket)%len(buckets)], time.Weekday(week%7))
	})
}

func TestPiecesCoverTheRangeByTheCoarsestThatFits(t *testing.T) {
	widths := map[string]Millis{"usage_1d": day, "usage_15m": 15 * minute, "usage_1m": minute, "events": 1}
	rapid.Check(t, func(t *rapid.T) {
		from := Millis(rapid.Int64Range(0, int64(4*day)).Draw(t, "from")) + minInstant - 2*day
		to := from + Millis(rapid.Int64Range(-1000, int64(3*day)).Draw(t, "span"))
		if rapid.Bool().Draw(t, "whole minutes") {
			from, to = floor(from, minute), floor(to, minute)
		}
		pieces := Pieces(from, to)
		if from >= to {
			if len(pieces) != 0 {
				t.Fatalf("an empty range has %v", pieces)
			}
			return
		}
		if len(pieces) > 7 {
			t.Fatalf("%d pieces", len(pieces))
		}
		at := from
		for i, p := range pieces {
			width := widths[p.Table]
			if p.From != at || p.To <= p.From || floor(p.From, width) != p.From || floor(p.To, width) != p.To {
				t.Fatalf("%v after %d", p, at)
			}
			if i > 0 && pieces[i-1].Table == p.Table {
				t.Fatalf("%v goes on from %v", p, pieces[i-1])
			}
			for _, coarser := range resolutions {
				if coarser.width > width && floor(p.To, coarser.width)-coarser.width >= p.From {
					t.Fatalf("%v holds whole buckets of %s", p, coarser.table)
				}
			}
			at = p.To
		}
		if at != to {
			t.Fatalf("pieces end at %d, not %d", at, to)
		}
	})
}

func TestPiecesNeedNoRawEventsBetweenWholeMinutes(t *testing.T) {
	for _, p := range Pieces(minInstant+minute, minInstant+10*day+7*minute) {
		if p.Table == "events" {
			t.Errorf("raw events for %v", p)
		}
	}
	if got := Pieces(minInstant+1, minInstant+minute+1); len(got) != 1 || got[0].Table != "events" {
		t.Errorf("a minute across two is %v, want one raw piece", got)
	}
}

func TestBucketsAndWeekdaysAreReadByName(t *testing.T) {
	for _, bucket := range []Bucket{Minute, QuarterHour, Hour, Day, Week, Month} {
		if got, err := ParseBucket(string(bucket)); err != nil || got != bucket {
			t.Errorf("ParseBucket(%s) = %s, %v", bucket, got, err)
		}
	}
	for _, text := range []string{"", "auto", "1D", "2h"} {
		if bucket, err := ParseBucket(text); !errors.Is(err, ErrBucket) {
			t.Errorf("ParseBucket(%q) = %s, %v", text, bucket, err)
		}
	}
	for day := time.Sunday; day <= time.Saturday; day++ {
		if got, err := ParseWeekday(strings.ToLower(day.String())); err != nil || got != day {
			t.Errorf("ParseWeekday(%s) = %s, %v", day, got, err)
		}
	}
	if got, err := ParseWeekday(""); err != nil || got != time.Monday {
		t.Errorf("ParseWeekday of nothing = %s, %v", got, err)
	}
	if day, err := ParseWeekday("Monday"); err == nil {
		t.Errorf("ParseWeekday(Monday) = %s", day)
	}
}

func TestEdgesGoOnPastLeapYearsThatOnlyTheRuleOfAZoneKnows(t *testing.T) {
	for _, name := range []string{"America/New_York", "America/Havana", "Europe/Berlin", "Australia/Lord_Howe", "Antarctica/Troll", "America/Santiago"} {
		tz, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		from, to := time.Date(2040, 12, 1, 0, 0, 0, 0, tz), time.Date(2041, 2, 1, 0, 0, 0, 0, tz)
		for bucket, want := range map[Bucket]int{Hour: 62 * 24, Day: 62, Month: 2} {
			cut, err := Edges(tz, from, to, bucket, time.Monday)
			if err != nil || len(cut)-1 != want {
				t.Errorf("%s by %s: %d buckets and %v, want %d", name, bucket, len(cut)-1, err, want)
			}
		}
		if cut, err := Edges(tz, from, time.Date(2100, 1, 1, 0, 0, 0, 0, tz), Month, time.Monday); err != nil || len(cut)-1 != 59*12+1 {
			t.Errorf("%s to 2100: %d buckets and %v", name, len(cut)-1, err)
		}
	}
}
