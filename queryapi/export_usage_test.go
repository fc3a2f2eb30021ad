package queryapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/queryapi"
)

// usageRow is a row of an export of usage.
type usageRow struct {
	Start, End, Action, Credits, Refunds string
	Campaign                             string `json:"campaign_id"`
	Events                               int64
}

func (h *harness) usageRows(query url.Values) (rows []usageRow) {
	h.t.Helper()
	query.Set("dataset", "usage")
	query.Set("format", "ndjson")
	for _, line := range strings.Split(strings.TrimSpace(string(h.exportOf(query.Encode()))), "\n") {
		var row usageRow
		if line == "" {
			continue
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			h.t.Fatalf("%v in %s", err, line)
		}
		rows = append(rows, row)
	}
	return rows
}

// localKey names the bucket that an instant is in by what a clock on the wall
// shows: an hour that comes twice is told apart by its offset.
func localKey(bucket string, at time.Time) string {
	return at.Format(map[string]string{"1m": "2006-01-02T15:04 -0700", "15m": "2006-01-02T15 -0700 ", "1h": "2006-01-02T15 -0700", "1d": "2006-01-02"}[bucket]) +
		map[bool]string{true: fmt.Sprint(at.Minute() / 15)}[bucket == "15m"]
}

// TestExportedUsageIsExactInEveryBucketAndZone: each row is what the events add
// up to that a wall clock puts there, and all of a bucket what the usage
// endpoint says of it, over both changes of the clock.
func TestExportedUsageIsExactInEveryBucketAndZone(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	var events []event
	for _, change := range []string{"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-11-01T05:30:00Z", "2026-04-04T15:00:00Z", "2026-03-08T05:00:00Z"} {
		for i, e := range randomEvents("ws_a", at(t, change).Add(30*time.Hour), 300) {
			if i%2 == 0 { // near the change
				e.at = at(t, change).Add(time.Duration(i-150) * 11 * time.Minute)
			}
			events = append(events, e)
		}
	}
	h.insert(events...)
	h.insert(event{"ws_b", "cmp_1", "lead", at(t, "2026-10-25T01:30:00Z"), 99})
	for _, c := range []struct{ bucket, tz, from, to string }{
		{"1m", "", "2026-10-24T23:58:00Z", "2026-10-26T01:01:00Z"},
		{"15m", "Asia/Kathmandu", "2026-10-24T00:15:00Z", "2026-10-27T00:45:00Z"},
		{"1h", "", "2026-03-28T00:15:00Z", "2026-03-31T00:00:00Z"},
		{"1h", "Europe/Berlin", "2026-10-24T00:15:00Z", "2026-10-27T00:45:00Z"},
		{"1h", "Asia/Kathmandu", "2026-10-24T00:15:00Z", "2026-10-27T00:45:00Z"},
		{"1h", "Australia/Lord_Howe", "2026-04-01T00:00:00Z", "2026-04-07T00:00:00Z"},
		{"1d", "", "2025-01-01T00:00:00Z", "2026-11-20T00:00:00Z"},
		{"1d", "UTC", "2025-01-01T00:15:00Z", "2026-11-20T11:30:00Z"},
		{"1d", "Europe/Berlin", "2024-12-31T23:00:00Z", "2026-11-19T23:00:00Z"},
		{"1d", "America/Havana", "2025-06-01T00:00:00Z", "2026-11-22T09:00:00Z"},
		{"1d", "Australia/Lord_Howe", "2025-06-01T00:00:00Z", "2026-11-22T09:00:00Z"},
	} {
		name := fmt.Sprint(c)
		zone, err := time.LoadLocation(c.tz)
		if err != nil {
			t.Fatal(err)
		}
		q := url.Values{"bucket": {c.bucket}, "from": {c.from}, "to": {c.to}}
		if c.tz != "" {
			q.Set("tz", c.tz)
		}
		from, to := at(t, c.from), at(t, c.to)
		type key struct{ bucket, campaign, action string }
		want, got := map[key][3]int64{}, map[key][3]int64{}
		for _, e := range events {
			if e.at.Before(from) || !e.at.Before(to) {
				continue
			}
			k := key{localKey(c.bucket, e.at.In(zone)), e.campaign, e.action}
			sums := want[k]
			want[k] = [3]int64{sums[0] + int64(e.credits), sums[1] + max(0, -int64(e.credits)), sums[2] + 1}
		}
		perStart := map[string][3]int64{}
		last := usageRow{}
		for _, row := range h.usageRows(q) {
			start, end := at(t, row.Start).In(zone), at(t, row.End).In(zone)
			k := key{localKey(c.bucket, start), row.Campaign, row.Action}
			if _, twice := got[k]; twice {
				t.Errorf("%s: %+v comes twice", name, k)
			}
			if k.bucket != localKey(c.bucket, end.Add(-time.Second)) || start.Before(from) || end.After(to) || row.Start < last.Start {
				t.Errorf("%s: %+v after %+v", name, row, last)
			}
			// Nothing of the bucket is outside but what the range cuts off.
			if (start.After(from) && k.bucket == localKey(c.bucket, start.Add(-time.Second))) || (end.Before(to) && k.bucket == localKey(c.bucket, end)) {
				t.Errorf("%s: %+v is not all of its bucket", name, row)
			}
			got[k] = [3]int64{micros(t, row.Credits), micros(t, row.Refunds), row.Events}
			sums := perStart[row.Start]
			perStart[row.Start] = [3]int64{sums[0] + got[k][0], sums[1] + got[k][1], sums[2] + got[k][2]}
			last = row
		}
		if len(want) < 50 || len(got) != len(want) {
			t.Errorf("%s: %d rows, want %d", name, len(got), len(want))
		}
		for k, sums := range want {
			if got[k] != sums {
				t.Errorf("%s: %+v: %v, want %v", name, k, got[k], sums)
			}
		}
		h.comparePoints(name, q, c.tz, perStart)
	}
	for day, hours := range map[string]float64{"2026-03-28T23:00:00Z": 23, "2026-10-24T22:00:00Z": 25, "2026-10-25T23:00:00Z": 24} {
		rows := h.usageRows(url.Values{"bucket": {"1d"}, "tz": {"Europe/Berlin"}, "from": {"2026-01-01T00:00:00Z"}, "to": {"2026-11-01T00:00:00Z"}})
		found := false
		for _, row := range rows {
			if row.Start == day {
				found = true
				if length := at(t, row.End).Sub(at(t, row.Start)).Hours(); length != hours {
					t.Errorf("the day from %s has %v hours, want %v", day, length, hours)
				}
			}
		}
		if !found {
			t.Errorf("no day begins at %s", day)
		}
	}
}

// comparePoints holds sums by start to the usage endpoint with the same
// parameters.
func (h *harness) comparePoints(name string, q url.Values, tz string, perStart map[string][3]int64) {
	h.t.Helper()
	asked := url.Values{"bucket": q["bucket"], "from": q["from"], "to": q["to"], "tz": {"UTC"}}
	if tz != "" {
		asked.Set("tz", tz)
	}
	var body queryapi.Usage
	h.get("/v1/workspaces/ws_a/usage", asked, &body)
	points := 0
	for _, point := range body.Series[0].Points {
		sums := perStart[string(point.Start)]
		if micros(h.t, string(point.Credits)) != sums[0] || micros(h.t, string(point.Refunds)) != sums[1] || point.Events != sums[2] {
			h.t.Errorf("%s: the file has %v, the endpoint %+v", name, sums, point)
		}
		if point.Events > 0 {
			points++
		}
	}
	if points != len(perStart) {
		h.t.Errorf("%s: the file has %d buckets, the endpoint %d", name, len(perStart), points)
	}
}

func TestExportOfUsageIsRefusedForWrongOrTooManyBuckets(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-11-22T09:00:30Z")
	h := newHarness(t, now)
	for day := range 10 {
		h.insert(event{"ws_a", "cmp_1", "", now.AddDate(0, 0, -day), 1}, event{"ws_a", "cmp_2", "", now.AddDate(0, 0, -day), 1})
	}
	const base = "/v1/workspaces/ws_a/export?"
	for query, code := range map[string]queryapi.Code{
		"dataset=usage&bucket=1w":                                                                queryapi.CodeInvalidParameter,
		"dataset=usage&bucket=1h&tz=Berlin":                                                      queryapi.CodeInvalidParameter,
		"dataset=usage&bucket=1m&from=2026-11-01T00:00:01Z":                                      queryapi.CodeInvalidParameter,
		"dataset=usage&bucket=1d&from=2026-11-01T00:01:00Z":                                      queryapi.CodeInvalidParameter,
		"dataset=events&bucket=1d":                                                               queryapi.CodeInvalidParameter,
		"dataset=events&tz=Europe/Berlin":                                                        queryapi.CodeInvalidParameter,
		"dataset=usage&bucket=1h&from=2000-01-01T00:00:00Z&to=2099-01-01T00:00:00Z":              queryapi.CodeTooManyPoints,
		"dataset=usage&bucket=1d&tz=Asia/Gaza&from=2000-01-01T00:00:00Z&to=2099-01-01T00:00:00Z": "",
	} {
		r := h.do(http.MethodGet, base+query)
		if code == "" {
			if r.status != http.StatusOK {
				t.Errorf("%q: %d %s", query, r.status, r.body)
			}
		} else if p := h.problemOf(r); p.Code != code {
			t.Errorf("%q: %+v, want %s", query, p, code)
		}
	}
	const month = "dataset=usage&from=2026-11-01T00:00:00Z&to=2026-11-22T09:00:00Z"
	for query, rows := range map[string]int64{"&bucket=1m": 18, "": 18, "&bucket=1h": 18, "&bucket=1h&tz=Asia/Kolkata": 18, "&bucket=1d&tz=Asia/Kolkata": 40, "&bucket=1d": 40} {
		h.server.LimitExports(rows - 1)
		if p := h.problemOf(h.do(http.MethodGet, base+month+query)); p.Code != queryapi.CodeRangeTooLarge {
			t.Errorf("%q: %+v", query, p)
		}
		h.server.LimitExports(rows)
		if r := h.do(http.MethodGet, base+month+query); r.status != http.StatusOK {
			t.Errorf("%q: %d %s", query, r.status, r.body)
		}
	}
	h.server.LimitExports(100)
	r := h.do(http.MethodGet, base+month+"&bucket=1d")
	if got := r.header.Get("Content-Disposition"); got != `attachment; filename="drawdown-ws_a-usage-1d-20261101T0000Z-20261122T0900Z.csv"` {
		t.Error(got)
	}
}

// TestExportedUsageIsExactBeyond64Bits, as hundred million credits a second for
// years would be.
func TestExportedUsageIsExactBeyond64Bits(t *testing.T) {
	t.Parallel()
	h := newHarness(t, at(t, "2026-11-22T09:00:30Z"))
	h.exec(`INSERT INTO usage_1m SELECT 'ws_a', toDateTime('2026-11-20 00:00:00', 'UTC') + number * 60, 'cmp_1', 'x',
		toInt128('-100000000000000000000000000000000001') * if(number = 0, -1, 1), toInt128('100000000000000000000000000000000001') * if(number = 0, 0, 1), 1 FROM numbers(4)`)
	for _, q := range []string{"bucket=1d", "bucket=1d&tz=Asia/Kolkata", "bucket=1h", "bucket=15m"} {
		rows, err := url.ParseQuery(q + "&from=2026-11-20T00:00:00Z&to=2026-11-21T00:00:00Z")
		if err != nil {
			t.Fatal(err)
		}
		got := h.usageRows(rows)
		if len(got) != 1 || got[0].Credits != "-200000000000000000000000000000.000002" || got[0].Refunds != "300000000000000000000000000000.000003" {
			t.Errorf("%s: %+v", q, got)
		}
		rows.Set("format", "parquet") // beside the dataset, which usageRows set
		if got := h.parquet(h.exportOf(rows.Encode()), usageColumns, "credits"); got[0] != "-200000000000000000000000000000.000002" {
			t.Errorf("%s in parquet: %s", q, got)
		}
	}
}
