package schemas

// Accepted instants are within [minInstant, maxInstant): ClickHouse's DateTime
// of the rollups wraps before 1970 and after 2106, and a clock that is off by
// decades is a mistake.
const (
	minInstant Millis = 946_684_800_000   // 2000-01-01T00:00:00Z
	maxInstant Millis = 4_102_444_800_000 // 2100-01-01T00:00:00Z
	minute     Millis = 60_000
	day        Millis = 86_400_000
)

// inRange reports whether events may carry the instant.
func inRange(m Millis) bool { return m >= minInstant && m < maxInstant }

// parseInstant reads an RFC 3339 date-time with any offset and any number of
// fraction digits, of which it keeps three; T and Z may be lower case. It
// refuses leap seconds, which have no millisecond of their own since 1970.
func parseInstant(s []byte) (Millis, bool) {
	// 2026-11-22T09:00:07Z is the shortest.
	if len(s) < 20 || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	century, year, month, dayOfMonth := twoDigits(s[0:2]), twoDigits(s[2:4]), twoDigits(s[5:7]), twoDigits(s[8:10])
	hour, minutes, seconds := twoDigits(s[11:13]), twoDigits(s[14:16]), twoDigits(s[17:19])
	if century > 99 || year > 99 || month-1 > 11 || hour > 23 || minutes > 59 || seconds > 59 {
		return 0, false
	}
	year += century * 100
	if dayOfMonth-1 >= daysIn(month, year) {
		return 0, false
	}
	at := Millis(daysSince1970(year, month, dayOfMonth))*day + Millis(hour*3600+minutes*60+seconds)*1000

	rest := s[19:]
	if rest[0] == '.' {
		digits, place := 1, Millis(100)
		for ; digits < len(rest) && rest[digits]-'0' < 10; digits++ {
			at += Millis(rest[digits]-'0') * place
			place /= 10
		}
		if digits == 1 {
			return 0, false
		}
		rest = rest[digits:]
	}
	if len(rest) == 1 && rest[0]|0x20 == 'z' {
		return at, true
	}
	if len(rest) != 6 || rest[3] != ':' {
		return 0, false
	}
	hour, minutes = twoDigits(rest[1:3]), twoDigits(rest[4:6])
	if hour > 23 || minutes > 59 {
		return 0, false
	}
	offset := Millis(hour*60+minutes) * minute
	switch rest[0] {
	case '+':
		return at - offset, true
	case '-':
		return at + offset, true
	}
	return 0, false
}

// twoDigits returns the number that two digits write, or more than 99.
func twoDigits(s []byte) uint {
	_ = s[1]
	tens, ones := uint(s[0]-'0'), uint(s[1]-'0')
	if tens > 9 || ones > 9 {
		return 1 << 16
	}
	return tens*10 + ones
}

// daysIn returns the length of a month (1 to 12) of the Gregorian calendar.
func daysIn(month, year uint) uint {
	if month == 2 {
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 30 + (month+month>>3)&1
}

// daysSince1970 counts days of the Gregorian calendar. Years start in March,
// so that the leap day is the last of its year, and months since March are
// 30.6 days long to the day.
func daysSince1970(year, month, dayOfMonth uint) int {
	y, m := int(year), int(month)-3
	if m < 0 {
		y, m = y-1, m+12
	}
	// Year 0's March is day 0; floor division because January of year 0
	// belongs to year -1.
	leaps := y>>2 - (y+100)/100 + (y+400)/400
	return y*365 + leaps + (m*153+2)/5 + int(dayOfMonth) - 1 - 719468
}

// appendMillis writes an instant the way events have it.
func appendMillis(dst []byte, m Millis) []byte {
	return m.Time().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}
