package queryapi

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// cutting is a range cut into buckets.
type cutting struct {
	bucket    schemas.Bucket
	zone      *time.Location
	weekStart time.Weekday
	from      schemas.Millis
	edges     []schemas.Millis // of [from, min(to, now)); empty: no bucket
	ahead     []schemas.Millis // of [max(from, now), to); empty: no bucket
}

// cut cuts [asked.from, min(asked.to, now)). Now counts as the end of its
// minute: answers within a minute are then the same, and read no raw events.
func (p *BucketParams) cut(asked span, now schemas.Millis, own settings) (cutting, error) {
	c := cutting{bucket: schemas.Bucket(p.Bucket), zone: own.zone, weekStart: own.weekStart, from: asked.from}
	if p.zone != nil {
		c.zone = p.zone
	}
	if p.Bucket == "auto" {
		c.bucket = schemas.AutoBucket(c.zone, timeOf(asked.from), timeOf(asked.to), c.weekStart)
	}
	edges, err := c.edgesOf(asked.from, asked.to)
	if errors.Is(err, schemas.ErrTooManyPoints) {
		return c, problem(CodeTooManyPoints, "more than %d buckets of %s; ask for a shorter range or a coarser bucket",
			schemas.MaxPoints, c.bucket).about("query.bucket", p.Bucket)
	}
	if err != nil {
		return c, err
	}
	now = (now + minuteMillis - 1) / minuteMillis * minuteMillis
	c.edges, c.ahead = upTo(edges, now), onFrom(edges, now)
	return c, nil
}

// upTo cuts edges off at end.
func upTo(edges []schemas.Millis, end schemas.Millis) []schemas.Millis {
	i := slices.IndexFunc(edges, func(edge schemas.Millis) bool { return edge >= end })
	switch i {
	case -1:
		return edges
	case 0:
		return nil
	}
	return append(edges[:i:i], end)
}

// onFrom cuts edges off before begin.
func onFrom(edges []schemas.Millis, begin schemas.Millis) []schemas.Millis {
	i := slices.IndexFunc(edges, func(edge schemas.Millis) bool { return edge > begin })
	switch i {
	case -1:
		return nil
	case 0:
		return edges
	}
	return append([]schemas.Millis{begin}, edges[i:]...)
}

// longest is the most that a bucket can last: a day may be followed by one
// that its zone left out, a clock change adds less than that.
var longest = map[schemas.Bucket]time.Duration{
	schemas.Minute:      time.Minute,
	schemas.QuarterHour: 15 * time.Minute,
	schemas.Hour:        time.Hour,
	schemas.Day:         2 * 24 * time.Hour,
	schemas.Week:        8 * 24 * time.Hour,
	schemas.Month:       32 * 24 * time.Hour,
}

// before returns the edges of as many buckets that end where the range starts.
// If that is within a bucket, the last of them is the part before it.
func (c *cutting) before() ([]schemas.Millis, error) {
	// Twice as many of the shortest still are fewer than MaxPoints.
	const atOnce = 500
	found := []schemas.Millis{c.from}
	for missing := len(c.edges) - 1; missing > 0; {
		n := min(missing, atOnce)
		end := found[0]
		begin := end - schemas.Millis(longest[c.bucket].Milliseconds())*schemas.Millis(n+1)
		edges, err := c.edgesOf(begin, end)
		if err != nil {
			return nil, err
		}
		// The first is where we began, not an edge.
		found = append(edges[len(edges)-1-n:len(edges)-1:len(edges)-1], found...)
		missing -= n
	}
	return found, nil
}

func (c *cutting) edgesOf(from, to schemas.Millis) ([]schemas.Millis, error) {
	times, err := schemas.Edges(c.zone, timeOf(from), timeOf(to), c.bucket, c.weekStart)
	if err != nil {
		return nil, fmt.Errorf("cannot cut [%s, %s) into %s in %s: %w", instant(from), instant(to), c.bucket, c.zone, err)
	}
	edges := make([]schemas.Millis, len(times))
	for i, t := range times {
		edges[i] = millisOf(t)
	}
	return edges, nil
}
