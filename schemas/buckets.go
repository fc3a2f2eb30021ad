package schemas

import (
	"errors"
	"fmt"
	"time"
)

// Bucket is the length of one point of a series on the local clock.
type Bucket string

// The buckets, finest first. Minutes and quarters are the same in every zone,
// because every offset since 2000 is a multiple of 15 minutes; an hour, day,
// week or month is the local clock's, so a day has 23 to 25 hours.
const (
	Minute      Bucket = "1m"
	QuarterHour Bucket = "15m"
	Hour        Bucket = "1h"
	Day         Bucket = "1d"
	Week        Bucket = "1w"
	Month       Bucket = "1mo"
)

// MaxPoints is the longest series: about what a wall display has pixels for.
const MaxPoints = 2000

// maxAutoPoints is the longest series that is chosen for somebody.
const maxAutoPoints = 200

// ErrBucket says that a text is no bucket.
var ErrBucket = errors.New("want 1m, 15m, 1h, 1d, 1w or 1mo")

// ErrTooManyPoints says that a range has more buckets than a series may have
// points.
var ErrTooManyPoints = errors.New("too many points; take a coarser bucket or a shorter range")

// ErrEmptyRange says that a range ends at or before its start.
var ErrEmptyRange = errors.New("the range is empty: from must be before to")

// ParseBucket reads one of the six buckets, or fails with ErrBucket.
func ParseBucket(text string) (Bucket, error) {
	switch b := Bucket(text); b {
	case Minute, QuarterHour, Hour, Day, Week, Month:
		return b, nil
	}
	return "", fmt.Errorf("bucket %.20q: %w", text, ErrBucket)
}

// ParseWeekday reads monday to sunday; empty is monday.
func ParseWeekday(text string) (time.Weekday, error) {
	switch text {
	case "", "monday":
		return time.Monday, nil
	case "tuesday":
		return time.Tuesday, nil
	case "wednesday":
		return time.Wednesday, nil
	case "thursday":
		return time.Thursday, nil
	case "friday":
		return time.Friday, nil
	case "saturday":
		return time.Saturday, nil
	case "sunday":
		return time.Sunday, nil
	}
	return 0, fmt.Errorf("week start %.20q: want monday to sunday, in lower case", text)
}

// Edges cuts [from, to) into buckets of the local clock of tz and returns
// their edges, strictly increasing, the first of them from and the last to:
// the first and the last bucket are clipped. A local day starts at its first
// existing instant, be that midnight, its first occurrence, or 01:00; a day
// that a zone left out has no bucket. An hour also ends where the clock is
// put forward or back. Weeks start on weekStart.
//
// It fails with ErrEmptyRange, ErrBucket, or, beyond MaxPoints buckets,
// ErrTooManyPoints.
func Edges(tz *time.Location, from, to time.Time, bucket Bucket, weekStart time.Weekday) ([]time.Time, error) {
	return edges(tz, from, to, bucket, weekStart, MaxPoints)
}

// AutoBucket returns the finest bucket that cuts [from, to) into at most 200
// points, or the month if none does.
func AutoBucket(tz *time.Location, from, to time.Time, weekStart time.Weekday) Bucket {
	for _, bucket := range []Bucket{Minute, QuarterHour, Hour, Day, Week} {
		if _, err := edges(tz, from, to, bucket, weekStart, maxAutoPoints); !errors.Is(err, ErrTooManyPoints) {
			return bucket
		}
	}
	return Month
}

func edges(tz *time.Location, from, to time.Time, bucket Bucket, weekStart time.Weekday, limit int) ([]time.Time, error) {
	if !from.Before(to) {
		return nil, fmt.Errorf("cannot cut %s to %s: %w", from.Format(time.RFC3339), to.Format(time.RFC3339), ErrEmptyRange)
	}
	var next func(time.Time) time.Time
	switch bucket {
	case Minute:
		next = func(t time.Time) time.Time { return t.Truncate(time.Minute).Add(time.Minute) }
	case QuarterHour:
		next = func(t time.Time) time.Time { return t.Truncate(15 * time.Minute).Add(15 * time.Minute) }
	case Hour:
		next = nextHour
	case Day:
		next = func(t time.Time) time.Time {
			year, month, day := t.Date()
			return firstDayAfter(t, year, month, day+1, 0, 1)
		}
	case Week:
		next = func(t time.Time) time.Time {
			year, month, day := t.Date()
			into := (int(t.Weekday()) - int(weekStart) + 7) % 7
			return firstDayAfter(t, year, month, day-into+7, 0, 7)
		}
	case Month:
		next = func(t time.Time) time.Time {
			year, month, _ := t.Date()
			return firstDayAfter(t, year, month+1, 1, 1, 0)
		}
	default:
		return nil, fmt.Errorf("cannot cut by %.20q: %w", bucket, ErrBucket)
	}
	end := to.In(tz)
	cut := []time.Time{from.In(tz)}
	for at := next(cut[0]); at.Before(end); at = next(at) {
		cut = append(cut, at)
		if len(cut) > limit {
			return nil, fmt.Errorf("cannot cut %s to %s by %s into at most %d: %w", from.Format(time.RFC3339), to.Format(time.RFC3339), bucket, limit, ErrTooManyPoints)
		}
	}
	return append(cut, end), nil
}

// nextHour returns the first instant after t at which the local clock shows a
// full hour or is changed.
func nextHour(t time.Time) time.Time {
	_, offset := t.Zone()
	intoHour := (t.Unix() + int64(offset)) % 3600
	next := time.Unix(t.Unix()-intoHour+3600, 0).In(t.Location())
	for end := zoneEnd(t); !end.IsZero() && end.Before(next); end = zoneEnd(end) {
		// A zone may change its name alone.
		if _, after := end.Zone(); after != offset {
			return end
		}
	}
	return next
}

// firstDayAfter returns the start of the given local day, or, where that is
// not after t because the clock was put back over midnight or the day was left
// out, of the first day after t in steps of so many months or days.
func firstDayAfter(t time.Time, year int, month time.Month, day, months, days int) time.Time {
	for {
		start := dayStart(t.Location(), year, month, day)
		if start.After(t) {
			return start
		}
		month += time.Month(months)
		day += days
	}
}

// dayStart returns the first instant at which the local date is that day or a
// later one. time.Date does not: where midnight does not exist it may answer
// with an instant of the day before, as for Havana.
func dayStart(tz *time.Location, year int, month time.Month, day int) time.Time {
	midnight := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	// No offset reaches 24 hours, so this is before the day everywhere.
	at := midnight.Add(-24 * time.Hour).In(tz)
	for {
		_, offset := at.Zone()
		start := midnight.Add(-time.Duration(offset) * time.Second).In(tz)
		end := zoneEnd(at)
		switch {
		case !end.IsZero() && !start.Before(end):
			at = end // the clock changes before it shows midnight
		case start.Before(at):
			return at // the change itself went over midnight
		default:
			return start
		}
	}
}

// zoneEnd returns an instant after t until which the local clock is not
// changed; zero: it never is. time.Time.ZoneBounds is not enough: past the
// table of a zone it ends at the end of the year, which it takes for 365 days
// long, so that in the last day of a leap year it answers with an instant that
// has passed, for ever. No rule of a zone changes the clock in those days.
func zoneEnd(t time.Time) time.Time {
	_, end := t.ZoneBounds()
	if !end.IsZero() && !end.After(t) {
		return t.Add(24 * time.Hour)
	}
	return end
}

// Piece is a part of a range that one table answers.
type Piece struct {
	Table    string // usage_1d, usage_15m, usage_1m, or events for part of a minute
	From, To Millis // [From, To)
}

var resolutions = []struct {
	table string
	width Millis
}{{"usage_1d", day}, {"usage_15m", 15 * minute}, {"usage_1m", minute}}

// Pieces cuts [from, to) into at most seven pieces, in order: whole buckets of
// the coarsest rollup that fits, finer ones towards the edges, and raw events
// for a part of a minute. Days are UTC days. An empty range has none.
func Pieces(from, to Millis) []Piece {
	if from >= to {
		return nil
	}
	return cover(make([]Piece, 0, 2*len(resolutions)+1), from, to, 0)
}

// cover appends the pieces of [from, to) from that resolution on.
func cover(pieces []Piece, from, to Millis, finer int) []Piece {
	if from == to {
		return pieces
	}
	if finer == len(resolutions) {
		return append(pieces, Piece{Table: "events", From: from, To: to})
	}
	r := resolutions[finer]
	first, last := -floor(-from, r.width), floor(to, r.width)
	if first >= last {
		return cover(pieces, from, to, finer+1)
	}
	pieces = cover(pieces, from, first, finer+1)
	pieces = append(pieces, Piece{Table: r.table, From: first, To: last})
	return cover(pieces, last, to, finer+1)
}

// floor returns the largest multiple of width that is not above m.
func floor(m, width Millis) Millis {
	rest := m % width
	if rest < 0 {
		rest += width
	}
	return m - rest
}
