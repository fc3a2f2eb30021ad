package schemas

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var instantSyntax = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// checkInstant compares with the standard library, which is stricter about
// letters and laxer about digits than RFC 3339.
func checkInstant(t failer, text string) {
	t.Helper()
	got, ok := parseInstant([]byte(text))
	upper := text
	if len(text) > 10 && (strings.HasSuffix(text, "z") || text[10] == 't') {
		upper = strings.ToUpper(text)
	}
	want, err := time.Parse(time.RFC3339Nano, upper)
	wantOK := err == nil && instantSyntax.MatchString(upper)
	if ok != wantOK || ok && got != MillisOf(want) {
		t.Fatalf("parseInstant(%q) = %d, %v; want %d, %v", text, got, ok, want.UnixMilli(), wantOK)
	}
}

func FuzzInstant(f *testing.F) {
	for _, text := range []string{"2026-11-22T09:00:07.123Z", "2026-11-22t09:00:07z", "2000-02-29T23:59:59.999999999999+23:59", "1900-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "2026-11-22T09:00:60Z", "2026-11-22T09:00:07", "2026-11-22T09:00:07.Z", "2026-11-22T09:00:07+0100", "6463-10-10T10:10:10Z", "2026-11-22 09:00:07Z", "2026-11-22T09:00:07,1Z"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkInstant(t, text) })
}

func TestParseInstantEqualsTheStandardLibrary(t *testing.T) {
	text := rapid.StringMatching(`[0-9]{4}-[01][0-9]-[0-3][0-9][Tt][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,12})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])`)
	rapid.Check(t, func(t *rapid.T) { checkInstant(t, text.Draw(t, "instant")) })
}

func TestMillisReadBackAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Millis(rapid.Int64Range(int64(minInstant), int64(maxInstant)-1).Draw(t, "instant"))
		if got, ok := parseInstant([]byte(want.String())); !ok || got != want || MillisOf(want.Time()) != want {
			t.Fatalf("%d reads %s, which is %d", want, want, got)
		}
	})
}

func TestDaysOfTheWholeCalendar(t *testing.T) {
	for at := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2500; at = at.AddDate(0, 0, 1) {
		year, month, dayOfMonth := at.Date()
		if got := daysSince1970(uint(year), uint(month), uint(dayOfMonth)); int64(got)*86400 != at.Unix() {
			t.Fatalf("%s is day %d, want %d", at.Format(time.DateOnly), got, at.Unix()/86400)
		}
	}
}
