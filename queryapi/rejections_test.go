package queryapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/drawdown/drawdown/queryapi"
)

// TestRejectionsPagesAreTheWholeListOfTheWorkspaceAlone: many records have one
// timestamp, values are large and no text, and other workspaces have their own.
func TestRejectionsPagesAreTheWholeListOfTheWorkspaceAlone(t *testing.T) {
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	h.insert(event{"ws_a", "", "", now, 1}, event{"ws_b", "", "", now, 1})
	h.exec(`INSERT INTO rejections (topic, epoch, kpart, koff, kafka_time, workspace_id, code, message, key, value, value_bytes, headers)
		SELECT if(number % 2 = 0, 'credits.consumption', 'credits.ledger'), 1, 3, number, toDateTime64('2026-11-22 08:00:00', 3, 'UTC') + intDiv(number, 50),
			if(number % 10 = 9, 'ws_b', 'ws_a'), if(number % 3 = 0, 'malformed', 'invalid_field'), concat('m', toString(number)), 'ws_a',
			concat(unhex('FF00'), repeat('x', 5000)), 5002, [('drawdown-import', 'i'), ('b', unhex('FE'))] FROM numbers(500)`)
	read := func(q url.Values) (offsets []uint64) {
		for pages := 0; ; pages++ {
			var page queryapi.Rejections
			h.get("/v1/workspaces/ws_a/rejections", q, &page)
			for _, item := range page.Items {
				offsets = append(offsets, item.Offset)
				if item.Message != fmt.Sprint("m", item.Offset) || item.ValueBytes != 5002 || len(item.Value) > 2010 || !utf8.ValidString(item.Value) ||
					!strings.HasPrefix(item.Value, "\uFFFD\x00xx") || len(item.Headers) != 2 || item.Headers[1].Value != "\uFFFD" || item.Partition != 3 {
					t.Fatalf("%+v", item)
				}
			}
			if page.NextCursor == nil {
				return offsets
			}
			q.Set("cursor", *page.NextCursor)
			if pages > 100 {
				t.Fatal("no end")
			}
		}
	}
	for _, c := range []struct {
		query string
		want  func(n int) bool
	}{
		{"limit=7", func(int) bool { return true }},
		{"limit=1000", func(int) bool { return true }},
		{"limit=13&code=malformed", func(n int) bool { return n%3 == 0 }},
		{"limit=40&from=2026-11-22T08:00:02Z&to=2026-11-22T08:00:05Z", func(n int) bool { return n >= 100 && n < 250 }},
	} {
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		seen, last := map[uint64]bool{}, uint64(1<<60)
		for _, offset := range read(q) {
			if seen[offset] || offset/50 > last/50 {
				t.Errorf("%s: %d after %d", c.query, offset, last)
			}
			seen[offset], last = true, offset
		}
		for n := range 500 {
			if want := n%10 != 9 && c.want(n); seen[uint64(n)] != want {
				t.Errorf("%s: %d is there: %v", c.query, n, !want)
			}
		}
	}
	p := h.problemOf(h.do(http.MethodGet, "/v1/workspaces/ws_a/rejections?code=bad&limit=0&cursor=x&from=y&z=1"))
	if p.Code != queryapi.CodeInvalidParameter || len(p.Errors) != 5 {
		t.Errorf("%+v", p)
	}
}
