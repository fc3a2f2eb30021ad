package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

const (
	// badRowsShown is how many bad rows one look at a file reports.
	badRowsShown = 10
	// idsRemembered bounds the memory for telling rows with the same id: 8
	// bytes and as much again for the map. Later rows are not looked at.
	idsRemembered = 10_000_000
)

// importCheck is what the first pass over the files found.
type importCheck struct {
	content, mapping string // SHA-256 in hexadecimal digits
	rows             int64
	repeated         int64 // rows whose id an earlier row of the workspace has
	repeatedAt       rowPosition
	credits          schemas.Total
	refunds          schemas.Total
	first, last      schemas.Millis // before the shift
	firstAt, lastAt  rowPosition
	workspaces       map[string]int64
	unattributed     int64
}

// check reads all files once: it maps and decodes every row as the consumer
// will, and fails with the first bad rows if there are any.
func (c *importCmd) check(ctx context.Context, env *env, m *mapping) (*importCheck, error) {
	check := &importCheck{workspaces: map[string]int64{}}
	var err error
	if check.mapping, err = hashFile(c.Mapping); err != nil {
		return nil, err
	}
	var seen atomic.Int64
	bar := startProgress(env.Stderr, "check", 0, seen.Load)
	defer bar.Stop()
	var (
		mapper  = newRowMapper(m, c.source())
		decoder = schemas.NewDecoder(schemas.DefaultLimits())
		headers = importHeaders("check")
		sum     = sha256.New()
		seed    = maphash.MakeSeed()
		ids     = map[uint64]struct{}{}
		bad     []error
		badRows int64
		value   []byte
		decoded schemas.Event
	)
	err = c.eachRow(ctx, m, sum, func(at rowPosition, values []string) error {
		seen.Add(1)
		ev, err := mapper.eventOf(values)
		if err == nil {
			value = schemas.AppendEvent(value[:0], ev)
			record := schemas.Record{Key: ev.WorkspaceID, Value: value, Headers: headers}
			if rejection := decoder.Decode(schemas.ConsumptionTopic, &record, &decoded); rejection != nil {
				err = &fieldError{field: rejectedField(rejection), err: rejection}
			}
		}
		if err != nil {
			badRows++
			if len(bad) < badRowsShown {
				bad = append(bad, fmt.Errorf("  %s: %w", at, explain(m, values, err)))
			}
			return nil
		}
		check.add(at, &decoded)
		if len(ids) < idsRemembered {
			id := maphash.Comparable(seed, [2]string{string(ev.WorkspaceID), string(ev.ID)})
			if _, known := ids[id]; known {
				check.repeated++
				check.repeatedAt = at
			}
			ids[id] = struct{}{}
		}
		return nil
	})
	check.content = hex.EncodeToString(sum.Sum(nil))
	switch {
	case err != nil:
		return nil, err
	case badRows > 0:
		return nil, fmt.Errorf("%s of %s rows cannot be imported, nothing was sent; correct the rows or the mapping:\n%w",
			grouped(badRows), grouped(badRows+check.rows), errors.Join(bad...))
	case check.rows == 0:
		return nil, errors.New("the files have no rows")
	}
	return check, nil
}

func (c *importCheck) add(at rowPosition, ev *schemas.Event) {
	if c.rows == 0 || ev.Time < c.first {
		c.first, c.firstAt = ev.Time, at
	}
	if c.rows == 0 || ev.Time > c.last {
		c.last, c.lastAt = ev.Time, at
	}
	c.rows++
	c.credits = c.credits.Add(ev.Credits.Total())
	if ev.Credits < 0 {
		c.refunds = c.refunds.Add(ev.Credits.Total().Neg())
	}
	if len(ev.CampaignID) == 0 {
		c.unattributed++
	}
	c.workspaces[string(ev.WorkspaceID)]++
}

// rejectedField returns the field that a rejection names first.
func rejectedField(r *schemas.Rejection) string {
	name, _, found := strings.Cut(r.Message, ":")
	if !found {
		name, _, _ = strings.Cut(r.Message, " ")
	}
	return strings.TrimPrefix(name, "data.")
}

// explain adds the columns that a wrong field came from.
func explain(m *mapping, values []string, err error) error {
	var field *fieldError
	if !errors.As(err, &field) {
		return err
	}
	return fmt.Errorf("%w (%s)", err, m.describe(field.field, values))
}

// datesFit refuses what the consumers would reject by its time.
func (c *importCheck) datesFit(shift time.Duration, now time.Time, ttl schemas.EventsTTL) error {
	first, last := c.first.Time().Add(shift), c.last.Time().Add(shift)
	limits := schemas.DefaultLimits()
	limits.ImportLateness = ttl.ImportLateness()
	record := schemas.Record{Timestamp: schemas.MillisOf(now), Headers: importHeaders("check")}
	for _, edge := range []struct {
		at   time.Time
		from rowPosition
	}{{first, c.firstAt}, {last, c.lastAt}} {
		ev := schemas.Event{Type: schemas.CreditsConsumed, Time: schemas.MillisOf(edge.at)}
		rejection := limits.Late(&record, &ev)
		switch {
		case edge.at.Year() < 2000 || edge.at.Year() > 2099:
			return fmt.Errorf("%s: its time would be %s, and events are from 2000 to 2099; correct --shift-days", edge.from, edge.at.Format(time.RFC3339))
		case rejection == nil:
		case rejection.Code == schemas.TooLate:
			return fmt.Errorf("%s: its time %s is older than raw events are kept (--events-ttl %s); move all times with --shift-to-now or --shift-days, or keep events for ever with --events-ttl 0 here and at the consumers",
				edge.from, edge.at.Format(time.RFC3339), ttl)
		default:
			return fmt.Errorf("%s: its time %s is in the future; correct --shift-days or the time zone in the mapping", edge.from, edge.at.Format(time.RFC3339))
		}
	}
	return nil
}

// print writes what the import is for people.
func (c *importCheck) print(w io.Writer, verb string, state importState) {
	shift := time.Duration(state.ShiftDays) * 24 * time.Hour
	fmt.Fprintf(w, "import %s: %s rows %s\n", state.ImportID, grouped(c.rows), verb)
	fmt.Fprintf(w, "  %s credits net, %s of them given back\n", c.credits, c.refunds)
	fmt.Fprintf(w, "  %s workspaces, %s rows without a campaign\n", grouped(int64(len(c.workspaces))), grouped(c.unattributed))
	fmt.Fprintf(w, "  times from %s to %s, moved by %d days\n", c.first.Time().Add(shift).Format(time.RFC3339), c.last.Time().Add(shift).Format(time.RFC3339), state.ShiftDays)
	if c.repeated > 0 {
		fmt.Fprintf(w, "  %s rows repeat the id of an earlier row of their workspace, the last at %s: such a row is not counted\n", grouped(c.repeated), c.repeatedAt)
	}
}
