package queryapi_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// zones have whole, half and quarter offsets, days without midnight (Havana)
// and half an hour of summer time (Lord Howe).
var zones = []string{"UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "America/Havana", "Australia/Lord_Howe"}

// actions include what SQL, JSON and ClickHouse's text formats must escape.
var actions = []string{"", "lead", "phone", `it's "quoted" \ back`, "tab\tline\nreturn\r", "Müller 🚀", "a\x01b"}

// randomEvents are spread so that all resolutions matter: years, the last
// days, single minutes.
func randomEvents(workspace string, now time.Time, n int) []event {
	random := rand.New(rand.NewPCG(1, 2))
	centre := now.Add(-100 * 24 * time.Hour)
	events := make([]event, n)
	for i := range events {
		spread := []time.Duration{430 * 24 * time.Hour, 60 * time.Hour, 20 * time.Minute, 2 * time.Minute}[random.IntN(4)]
		e := event{
			workspace: workspace, action: actions[random.IntN(len(actions))],
			at:      now.Add(-time.Duration(random.Int64N(int64(spread)))).Truncate(time.Millisecond),
			credits: schemas.Credits(random.Int64N(5_000_000) - 1_000_000),
		}
		if random.IntN(2) == 0 && spread < 24*time.Hour {
			e.at = centre.Add(-time.Duration(random.Int64N(int64(spread)))).Truncate(time.Millisecond)
		}
		if c := random.IntN(13); c > 0 {
			e.campaign = fmt.Sprintf("cmp_%d", c)
		}
		events[i] = e
	}
	return events
}

// naive is the oracle: it looks at every event.
func naive(events []event, from, to time.Time, keep func(event) bool) (net, refunds schemas.Total, count int64) {
	for _, e := range events {
		if e.at.Before(from) || !e.at.Before(to) || !keep(e) {
			continue
		}
		net, count = net.Add(e.credits.Total()), count+1
		if e.credits < 0 {
			refunds = refunds.Sub(e.credits.Total())
		}
	}
	return net, refunds, count
}

func TestUsageEqualsOracleForAnyRangeZoneGroupAndFilter(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	h := newHarness(t, now)
	events := randomEvents("ws_a", now, 4_000)
	h.insert(events...)
	h.insert(randomEvents("ws_b", now, 500)...) // must not be seen
	rawFrom, _ := schemas.DefaultEventsTTL().RawFrom(now)

	rapid.Check(t, func(rt *rapid.T) {
		drawInstant := func(label string) time.Time {
			interesting := events[rapid.IntRange(0, len(events)-1).Draw(rt, label+" event")].at
			offset := rapid.SampledFrom([]time.Duration{0, time.Millisecond, -time.Millisecond, 7 * time.Second, 40 * time.Hour, -3 * 24 * time.Hour}).Draw(rt, label+" offset")
			precision := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Minute, 24 * time.Hour}).Draw(rt, label+" precision")
			return interesting.Add(offset).Truncate(precision)
		}
		from, to := drawInstant("from"), drawInstant("to")
		if to.Before(from) {
			from, to = to, from
		}
		if from.Equal(to) {
			to = to.Add(time.Millisecond)
		}
		q := url.Values{
			"from": {from.Format(time.RFC3339Nano)}, "to": {to.Format(time.RFC3339Nano)},
			"tz":       {rapid.SampledFrom(zones).Draw(rt, "tz")},
			"bucket":   {rapid.SampledFrom([]string{"auto", "1m", "15m", "1h", "1d", "1w", "1mo"}).Draw(rt, "bucket")},
			"group_by": {rapid.SampledFrom([]string{"none", "campaign", "action"}).Draw(rt, "group_by")},
			"compare":  {rapid.SampledFrom([]string{"none", "previous"}).Draw(rt, "compare")},
			"top":      {strconv.Itoa(rapid.IntRange(1, 14).Draw(rt, "top"))},
		}
		keep := func(event) bool { return true }
		switch rapid.IntRange(0, 3).Draw(rt, "filter") {
		case 1:
			campaign := rapid.SampledFrom([]string{"", "cmp_1", "cmp_none"}).Draw(rt, "campaign")
			q.Set("campaign_id", campaign)
			keep = func(e event) bool { return e.campaign == campaign }
		case 2:
			action := rapid.SampledFrom(actions).Draw(rt, "action")
			q.Set("action", action)
			keep = func(e event) bool { return e.action == action }
		}
		r := h.do(http.MethodGet, "/v1/workspaces/ws_a/usage?"+q.Encode())
		fine := func(at time.Time) bool {
			return at.UnixMilli()%60_000 != 0 && at.UnixMilli() < int64(rawFrom)
		}
		if fine(from) || fine(to) {
			if p := h.problemOf(r); p.Code != queryapi.CodeResolutionUnavailable {
				rt.Fatalf("%v before raw_from: %+v", q, p)
			}
			return
		}
		location, err := time.LoadLocation(q.Get("tz"))
		if err != nil {
			rt.Fatal(err)
		}
		bucket := schemas.Bucket(q.Get("bucket"))
		if bucket == "auto" {
			bucket = schemas.AutoBucket(location, from, to, time.Monday)
		}
		edges, err := schemas.Edges(location, from, to, bucket, time.Monday)
		if err != nil {
			if p := h.problemOf(r); p.Code != queryapi.CodeTooManyPoints {
				rt.Fatalf("%v: %v, but %+v", q, err, p)
			}
			return
		}
		var got queryapi.Usage
		h.get("/v1/workspaces/ws_a/usage", q, &got)
		end := now.Truncate(time.Minute).Add(time.Minute)
		checkUsage(rt, got, events, edges, end, keep, q)
	})
}

// checkUsage compares an answer with the oracle.
func checkUsage(rt *rapid.T, got queryapi.Usage, events []event, edges []time.Time, end time.Time, keep func(event) bool, q url.Values) {
	if !edges[0].Before(end) { // all of it is still to come
		if got.Total != "0" || len(got.Series) > 1 || got.Other != nil || (got.Previous != nil && len(got.Previous.Points) > 0) {
			rt.Fatalf("%v: %+v of the future", q, got)
		}
		return
	}
	for len(edges) > 1 && !edges[len(edges)-2].Before(end) {
		edges = edges[:len(edges)-1]
	}
	if last := len(edges) - 1; edges[last].After(end) {
		edges[last] = end
	}
	keyOf := func(e event) string {
		return map[string]string{"none": "", "campaign": e.campaign, "action": e.action}[q.Get("group_by")]
	}
	from, to := edges[0], edges[len(edges)-1]
	totals := map[string]schemas.Total{}
	for _, e := range events {
		if !e.at.Before(from) && e.at.Before(to) && keep(e) {
			totals[keyOf(e)] = totals[keyOf(e)].Add(e.credits.Total())
		}
	}
	var keys []string
	for key := range totals {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if order := totals[b].Cmp(totals[a]); order != 0 {
			return order
		}
		return strings.Compare(a, b)
	})
	top, _ := strconv.Atoi(q.Get("top"))
	if q.Get("group_by") == "none" {
		keys, top = []string{""}, 1
	}
	shown := keys[:min(top, len(keys))]
	if len(got.Series) != len(shown) || (got.Other != nil) != (len(keys) > top) {
		rt.Fatalf("%v: %d series, other %v; want %q of %q", q, len(got.Series), got.Other, shown, keys)
	}
	for i, key := range shown {
		if got.Series[i].Key != key {
			rt.Fatalf("%v: series %d is %q, want %q", q, i, got.Series[i].Key, key)
		}
		checkPoints(rt, got.Series[i].Points, got.Series[i].Total, events, edges, func(e event) bool { return keep(e) && keyOf(e) == key })
	}
	if got.Other != nil {
		checkPoints(rt, got.Other.Points, got.Other.Total, events, edges, func(e event) bool { return keep(e) && !slices.Contains(shown, keyOf(e)) })
	}
	if total, _, _ := naive(events, from, to, keep); string(got.Total) != total.String() {
		rt.Fatalf("%v: total %s, want %s", q, got.Total, total)
	}
	if q.Get("compare") == "previous" {
		if len(got.Previous.Points) != len(edges)-1 || got.Previous.Points[len(edges)-2].End != got.From {
			rt.Fatalf("%v: previous has %d points up to %s, want %d up to %s", q,
				len(got.Previous.Points), got.Previous.Points[len(got.Previous.Points)-1].End, len(edges)-1, got.From)
		}
		before := []time.Time{parse(rt, got.Previous.Points[0].Start)}
		for _, p := range got.Previous.Points {
			before = append(before, parse(rt, p.End))
		}
		location, _ := time.LoadLocation(got.TZ)
		want, err := schemas.Edges(location, before[0], before[len(before)-1], schemas.Bucket(got.Bucket), time.Monday)
		if err != nil || !slices.EqualFunc(want, before, time.Time.Equal) {
			rt.Fatalf("%v: previous is cut at %v, want %v (%v)", q, before, want, err)
		}
		checkPoints(rt, got.Previous.Points, got.Previous.Total, events, before, keep)
	}
}

func checkPoints(rt *rapid.T, points []queryapi.UsagePoint, total queryapi.Decimal, events []event, edges []time.Time, keep func(event) bool) {
	if len(points) != len(edges)-1 {
		rt.Fatalf("%d points, want %d", len(points), len(edges)-1)
	}
	for i, p := range points {
		net, refunds, count := naive(events, edges[i], edges[i+1], keep)
		if !parse(rt, p.Start).Equal(edges[i]) || !parse(rt, p.End).Equal(edges[i+1]) ||
			string(p.Credits) != net.String() || string(p.Refunds) != refunds.String() || p.Events != count {
			rt.Fatalf("point %d is %+v, want [%v, %v) %s, refunds %s, %d events", i, p, edges[i], edges[i+1], net, refunds, count)
		}
	}
	if net, _, _ := naive(events, edges[0], edges[len(edges)-1], keep); string(total) != net.String() {
		rt.Fatalf("total %s, want %s", total, net)
	}
}

func parse(rt *rapid.T, text queryapi.Instant) time.Time {
	parsed, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		rt.Fatal(err)
	}
	return parsed
}
