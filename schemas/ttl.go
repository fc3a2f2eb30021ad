package schemas

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// EventsTTL is how long raw consumption events are kept: so many calendar
// months, or days, or, as the zero value, for ever. Rollups and the ledger are
// always kept for ever.
type EventsTTL struct {
	months int
	days   int
}

// DefaultEventsTTL is 13 months: a year can be compared with the one before,
// to the day, with a month to spare.
func DefaultEventsTTL() EventsTTL { return EventsTTL{months: 13} }

const (
	// minTTLDays keeps raw rows for the accepted lateness of 35 days and as
	// long again, in which every sealed hour can still be audited.
	minTTLDays = 70
	// Five years is longer than any dispute period; ClickHouse's 32-bit TTL
	// ends in 2106.
	maxTTLMonths = 60
	maxTTLDays   = 1826
)

// ParseEventsTTL reads "13mo", "400d" or "0" (for ever). It refuses less than
// 70 days and more than 60 months.
func ParseEventsTTL(text string) (EventsTTL, error) {
	refuse := func(why string) (EventsTTL, error) {
		return EventsTTL{}, fmt.Errorf("events TTL %q: %s; want months such as 13mo, days such as 400d, or 0 for ever", text, why)
	}
	if text == "0" {
		return EventsTTL{}, nil
	}
	number, isMonths := strings.CutSuffix(text, "mo")
	if !isMonths {
		var isDays bool
		if number, isDays = strings.CutSuffix(text, "d"); !isDays {
			return refuse("unit missing")
		}
	}
	n, err := strconv.ParseUint(number, 10, 16)
	switch {
	case err != nil:
		return refuse("not a number")
	case isMonths && n < 3, !isMonths && n < minTTLDays:
		return refuse("less than 70 days, which is twice the lateness that is accepted")
	case isMonths && n > maxTTLMonths, !isMonths && n > maxTTLDays:
		return refuse("more than 60 months")
	}
	if isMonths {
		return EventsTTL{months: int(n)}, nil
	}
	return EventsTTL{days: int(n)}, nil
}

// String returns what ParseEventsTTL reads.
func (t EventsTTL) String() string {
	switch {
	case t.months > 0:
		return strconv.Itoa(t.months) + "mo"
	case t.days > 0:
		return strconv.Itoa(t.days) + "d"
	}
	return "0"
}

// UnmarshalText makes EventsTTL a flag and environment value.
func (t *EventsTTL) UnmarshalText(text []byte) error {
	parsed, err := ParseEventsTTL(string(text))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}

// MarshalText returns what UnmarshalText reads.
func (t EventsTTL) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// RawFrom returns raw_from, the edge before which raw events may be gone and
// nothing is audited, and true; or false if they are kept for ever.
func (t EventsTTL) RawFrom(now time.Time) (Millis, bool) {
	if t == (EventsTTL{}) {
		return NoInstant, false
	}
	return Millis(now.UTC().AddDate(0, -t.months, -t.days).UnixMilli()), true
}

// ImportLateness returns the lateness limit of records with the import header:
// 13 months, less where raw events are kept for less, 0 (none) where they are
// kept for ever. It goes into [Limits].
func (t EventsTTL) ImportLateness() time.Duration {
	const day = 24 * time.Hour
	switch {
	case t == (EventsTTL{}):
		return 0
	case t.days > 0:
		return min(time.Duration(t.days)*day, importLateness)
	}
	// No run of months is shorter than this.
	return min(time.Duration(t.months)*30*day+6*day, importLateness)
}

// expression returns the TTL of table events as ClickHouse prints it, or "".
func (t EventsTTL) expression() string {
	switch {
	case t.months > 0:
		return fmt.Sprintf("(inserted_at + toIntervalMonth(%d))%s", t.months, ttlSlack)
	case t.days > 0:
		return fmt.Sprintf("(inserted_at + toIntervalDay(%d))%s", t.days, ttlSlack)
	}
	return ""
}

// importLateness is 13 calendar months at their longest spread over the year,
// rounded up to whole days: 13 * 365.2425 / 12.
const importLateness = 396 * 24 * time.Hour
