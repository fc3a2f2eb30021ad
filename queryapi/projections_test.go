package queryapi_test

import (
	"encoding/json"
	"math"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// project writes what an aggregator would: so many credits per hour from now on,
// half of it at p10 and twice at p90, over the given days.
func (h *harness) project(workspace, campaign string, used, perHour float64, days int, quotaAt *time.Time) {
	h.t.Helper()
	var at []time.Time
	var mean, low, high []float64
	for hour := 0; hour <= days*24; hour += 12 {
		at = append(at, h.now.Add(time.Duration(hour)*time.Hour))
		mean = append(mean, perHour*float64(hour))
		low = append(low, perHour*float64(hour)/2)
		high = append(high, perHour*float64(hour)*2)
	}
	micro := func(credits float64) *big.Int { return big.NewInt(int64(credits * 1e6)) }
	end, last := h.now.AddDate(0, 0, days), len(at)-1
	batch, err := h.conn.PrepareBatch(h.t.Context(), `INSERT INTO campaign_projections (workspace_id, campaign_id, made_at, watermark, method, at,
		used_micro, mean_micro, p10_micro, p50_micro, p90_micro, quota_exhausts_at, curve_at, curve_mean, curve_p10, curve_p50, curve_p90)`)
	if err == nil {
		err = batch.Append(workspace, campaign, h.now, h.now, "seasonal", end, micro(used), micro(used+mean[last]), micro(used+low[last]),
			micro(used+mean[last]), micro(used+high[last]), quotaAt, at, mean, low, mean, high)
	}
	if err == nil {
		err = batch.Send()
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// forecasting is a workspace with 1,000 credits until the end of the year, 100
// of them used, and 5 an hour to come: 3 of cmp_1, which has a quota, 2 of cmp_2.
func forecasting(t *testing.T) *harness {
	h := newHarness(t, at(t, "2026-11-22T09:00:00Z"))
	const whole = schemas.Credits(schemas.MicrosPerCredit)
	expires := at(t, "2027-01-01T00:00:00Z")
	h.grant("ws_a", "g1", 1000*whole, h.now.AddDate(0, 0, -20), &expires)
	quota := 200 * whole
	h.campaign("ws_a", "cmp_1", "One", "ACTIVE", h.now.AddDate(0, 0, -20), &quota)
	h.campaign("ws_a", "cmp_2", "Two", "ACTIVE", h.now.AddDate(0, 0, -20), nil)
	h.insert(
		event{"ws_a", "cmp_1", "x", h.now.Add(-30 * time.Hour), 20 * whole},
		event{"ws_a", "cmp_1", "x", h.now.Add(-time.Hour), 60 * whole},
		event{"ws_a", "cmp_2", "x", h.now.Add(-2 * time.Hour), 20 * whole},
	)
	h.progress("ws_a", 1, h.now)
	reached := h.now.Add(40 * time.Hour)
	h.project("ws_a", "cmp_1", 80, 3, 56, &reached)
	h.project("ws_a", "cmp_2", 20, 2, 56, nil)
	h.project("ws_a", "*", 100, 5, 56, nil)
	return h
}

func getInto[B any](h *harness, target string) (body B) {
	h.t.Helper()
	r := h.do(http.MethodGet, target)
	if r.status != http.StatusOK {
		h.t.Fatalf("%s: %d %s", target, r.status, r.body)
	}
	if err := json.Unmarshal(r.body, &body); err != nil {
		h.t.Fatal(err)
	}
	return body
}

func TestProjectionsAreServed(t *testing.T) {
	h := forecasting(t)
	list := getInto[queryapi.Campaigns](h, "/v1/workspaces/ws_a/campaigns?sort=projected&order=desc")
	one := list.Items[0]
	end := at(t, "2027-01-17T09:00:00Z")
	if p := one.Projected; one.CampaignID != "cmp_1" || p.Method != "seasonal" || *p.P10 != "2096" || *p.P50 != "4112" || *p.P90 != "8144" ||
		*p.At != queryapi.Instant(end.Format(time.RFC3339)) || one.QuotaExhaustsAt == nil || *one.QuotaExhaustsAt != "2026-11-24T01:00:00Z" {
		t.Errorf("%+v", one)
	}
	detail := getInto[queryapi.CampaignDetail](h, "/v1/workspaces/ws_a/campaigns/cmp_2")
	if n := len(detail.Projection.Curve); n != 112 || detail.Projection.Curve[1].P50 != "68" {
		t.Errorf("%d points, %+v", n, detail.Projection.Curve[:2])
	}
	used := getInto[queryapi.Usage](h, "/v1/workspaces/ws_a/usage?bucket=1d&from=2026-11-20T00:00:00Z&to=2026-11-26T00:00:00Z")
	if f := used.Forecast; len(f) != 4 || f[0].Start != "2026-11-22T09:00:00Z" || f[0].Credits != "75" || f[1].Credits != "120" || f[3].P50 != "435" || f[3].P90 != "870" {
		t.Errorf("%+v", f)
	}
	of := getInto[queryapi.Usage](h, "/v1/workspaces/ws_a/usage?bucket=1d&from=2026-11-23T00:00:00Z&to=2026-11-26T00:00:00Z&campaign_id=cmp_2")
	if f := of.Forecast; len(f) != 3 || f[0].Credits != "48" || f[2].P50 != "144" {
		t.Errorf("%+v", f)
	}
	// 900 are left: 180 hours at the median, 90 where much is used.
	left := getInto[queryapi.Balance](h, "/v1/workspaces/ws_a/balance")
	if r := left.Runway; r.Method != "seasonal" || r.ExhaustsAt == nil || *r.ExhaustsAt != "2026-11-29T21:00:00Z" || *r.P10 != "2026-11-26T03:00:00Z" || *r.P90 != "2026-12-07T09:00:00Z" {
		t.Errorf("%+v %v %v", r, *r.ExhaustsAt, *r.P10)
	}
	board := getInto[queryapi.Workspaces](h, "/v1/workspaces")
	if r := board.Items[0].Runway; r.ExhaustsAt == nil || *r.ExhaustsAt != *left.Runway.ExhaustsAt {
		t.Errorf("the list says %v", r.ExhaustsAt)
	}
	// What was not made again is no more.
	now := h.now
	h.now = now.Add(-time.Hour)
	h.project("ws_a", "cmp_3", 0, 9, 56, nil)
	h.now = now
	h.campaign("ws_a", "cmp_3", "Three", "ACTIVE", h.now.AddDate(0, 0, -20), nil)
	h.progress("ws_a", 2, h.now)
	if r := h.do(http.MethodGet, "/v1/workspaces/ws_a/campaigns/cmp_3"); !strings.Contains(string(r.body), "insufficient_data") {
		t.Errorf("%s", r.body)
	}
	// Of the past nothing is projected, and nothing by an aggregator that is gone.
	then := getInto[queryapi.Balance](h, "/v1/workspaces/ws_a/balance?as_of=2026-11-22T08:30:00Z")
	if then.Runway.Method != "run_rate" || then.Runway.P10 != nil {
		t.Errorf("%+v", then.Runway)
	}
	h.now = h.now.Add(3 * time.Hour)
	h.progress("ws_a", 3, h.now)
	old := getInto[queryapi.Campaigns](h, "/v1/workspaces/ws_a/campaigns")
	if old.Items[0].Projected.Method != "insufficient_data" {
		t.Errorf("%+v", old.Items[0].Projected)
	}
}

func TestWhatIf(t *testing.T) {
	h := forecasting(t)
	ask := func(query string) queryapi.Outlook {
		return getInto[queryapi.Outlook](h, "/v1/workspaces/ws_a/projection"+query)
	}
	hours := func(text queryapi.Instant) float64 {
		instant, err := time.Parse(time.RFC3339Nano, string(text))
		if err != nil {
			t.Fatal(err)
		}
		return instant.Sub(h.now).Hours()
	}
	for _, c := range []struct {
		query          string
		exhausted, p10 float64 // hours from now
	}{
		{"", 180, 90},
		{"?scale=2", 90, 45},
		{"?pause=cmp_1", 450, 225},
		{"?pause=cmp_1,cmp_2", 951, 951}, // when all of it expires
		{"?grant=100", 200, 100},
		{"?pause=cmp_2&scale=0.5&grant=600", 1000, 500},
		{"?grant=600&grant_expires_at=2026-11-23T09:00:00Z", 204, 114}, // the soonest to expire, so it is used first
	} {
		o := ask(c.query)
		if got := hours(*o.Baseline.ExhaustsAt); got != 180 {
			t.Errorf("%q: as things are in %v h", c.query, got)
		}
		if p50, p10 := hours(*o.Runway.ExhaustsAt), hours(*o.Runway.P10); math.Abs(p50-c.exhausted) > 0.001 || math.Abs(p10-c.p10) > 0.001 {
			t.Errorf("%q: exhausted in %v h, at p10 %v; want %v, %v", c.query, p50, p10, c.exhausted, c.p10)
		}
	}
	if points := ask("").Balance; points[0].P50 != "900" || points[len(points)-1].At != "2027-01-17T09:00:00Z" {
		t.Errorf("%+v", points)
	}
	paused := ask("?pause=cmp_1,cmp_2")
	if len(paused.Unused) != 1 || paused.Unused[0].P50 != "900" || paused.Unused[0].At != "2027-01-01T00:00:00Z" {
		t.Errorf("unused %+v", paused.Unused)
	}
	// 80 in the last day, 20 in the one before: cmp_1 has 40 of the 60 more.
	b := ask("").Burn
	if len(b.Contributions) != 2 || b.Contributions[0].CampaignID != "cmp_1" || *b.Contributions[0].ChangePercent != 66.67 ||
		*b.Contributions[0].SharePercent != 75 || b.SinceYesterday != "2.5" || b.Summary != "One is 67 % of the increase since the day before." {
		t.Errorf("%+v %+v", b, b.Contributions)
	}
	// Where nothing is forecast the last day goes on: 80, of which 60 were cmp_1's.
	h.now = h.now.Add(3 * time.Hour)
	h.progress("ws_a", 2, h.now)
	for query, want := range map[string]float64{"": 270, "?scale=0.5": 540, "?pause=cmp_2": 360, "?grant=100": 300} {
		o := ask(query)
		if got := hours(*o.Runway.ExhaustsAt); o.Runway.Method != "run_rate" || math.Abs(got-want) > 0.01 {
			t.Errorf("%q: exhausted in %v h by %s, want %v", query, got, o.Runway.Method, want)
		}
	}
	for _, query := range []string{"?pause=cmp_9", "?pause=a%20b", "?scale=-1", "?grant=0", "?grant=x", "?grant_expires_at=x", "?colour=red",
		"?grant=5&grant_expires_at=2026-11-10T00:00:00Z", "?grant=5&grant_expires_at=2026-11-22T09:00:00Z"} {
		if r := h.do(http.MethodGet, "/v1/workspaces/ws_a/projection"+query); r.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
}

// TestWhatIfPausesNothingThatIsOverByThen: cmp_1 ends in ten days, and is no
// part of what the workspace uses after that.
func TestWhatIfPausesNothingThatIsOverByThen(t *testing.T) {
	t.Parallel()
	h := forecasting(t)
	h.exec(`INSERT INTO campaigns (workspace_id, campaign_id, time, event_id, name, status, ends_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		"ws_a", "cmp_1", h.now, "ends", "One", "ACTIVE", h.now.AddDate(0, 0, 10))
	h.project("ws_a", "cmp_1", 80, 3, 10, nil)
	o := getInto[queryapi.Outlook](h, "/v1/workspaces/ws_a/projection?pause=cmp_1")
	// 900 are left: 480 of them for 2 an hour in ten days, 420 for 5 an hour after.
	want := h.now.Add((240 + 84) * time.Hour).Format(time.RFC3339)
	if o.Runway.ExhaustsAt == nil || string(*o.Runway.ExhaustsAt) != want {
		t.Errorf("%+v, want %s", o.Runway, want)
	}
}

// TestOutlookOfThousandsOfGrantsHasABoundedCurve: 6,000 grants, half of them
// about to begin, all of which expire one after the other; and 5,000 campaigns.
func TestOutlookOfThousandsOfGrantsHasABoundedCurve(t *testing.T) {
	t.Parallel()
	h := newHarness(t, at(t, "2026-11-22T09:00:00Z"))
	ledger := func(workspace string, grants int) {
		h.exec(`INSERT INTO credit_entries (workspace_id, time, event_id, type, grant_id, credits_micro, class, priority, effective_at, expires_at, koff)
			SELECT ?, toDateTime64(?, 3, 'UTC') + toIntervalMinute(if(number % 2 = 0, -60, 7 * number)) AS effective, concat('ev', toString(number)), 'credits.granted',
				concat('g', toString(number)), 3000000, 'paid', 100, effective, effective + toIntervalMinute(10 + 3 * number), number
			FROM numbers(?)`, workspace, h.now.Unix(), grants)
		h.exec(`INSERT INTO events (workspace_id, time, event_id, campaign_id, credits_micro, koff)
			SELECT ?, toDateTime64(?, 3, 'UTC') - toIntervalHour(1 + 24 * (number % 2)), concat('c', toString(number)), concat('cmp_', toString(intDiv(number, 2))), 1 + number, number
			FROM numbers(10000)`, workspace, h.now.Unix())
		h.progress(workspace, 1, h.now)
		h.project(workspace, "*", 0, 1, 56, nil)
	}
	h.campaign("ws_a", "cmp_7", "Seven", "ACTIVE", h.now.AddDate(0, 0, -2), nil)
	ledger("ws_a", 6000)
	began := time.Now()
	o := getInto[queryapi.Outlook](h, "/v1/workspaces/ws_a/projection?pause=cmp_7")
	t.Logf("%d points in %v", len(o.Balance), time.Since(began))
	if len(o.Balance) != 2000 || o.Balance[0].At != o.From || o.Balance[1999].At != o.To || len(o.Unused) != 2000 {
		t.Errorf("%d points from %v to %v of %v to %v, %d unused", len(o.Balance), o.Balance[0].At, o.Balance[len(o.Balance)-1].At, o.From, o.To, len(o.Unused))
	}
	index := slices.IndexFunc(o.Balance, func(p queryapi.BalancePoint) bool { return p.At == *o.Runway.ExhaustsAt })
	if index < 0 {
		t.Fatalf("no point at %s", *o.Runway.ExhaustsAt)
	}
	if left, err := strconv.ParseFloat(string(o.Balance[index].P50), 64); err != nil || math.Abs(left) > 3 {
		t.Errorf("when nothing is left there is %s", o.Balance[index].P50)
	}
	// What is chosen is even: no stretch of the ledger is left out.
	longest, last := 0.0, time.Time{}
	for i, p := range o.Balance[:1990] {
		instant := at(t, string(p.At))
		if i > 0 {
			longest = max(longest, instant.Sub(last).Minutes())
		}
		last = instant
	}
	if longest > 120 {
		t.Errorf("%v minutes without a point, of a ledger with one instant in twenty at least", longest)
	}
	// The largest changes are named, and what is paused; the rest is a sum.
	b := o.Burn
	if len(b.Contributions) != 101 || b.Other == nil || b.Other.Campaigns != 4899 || b.Contributions[100].CampaignID != "cmp_7" {
		t.Fatalf("%d contributions, other %+v", len(b.Contributions), b.Other)
	}
	sum := func(field func(perHour, yesterday, week string) string) *big.Rat {
		total := new(big.Rat)
		for _, c := range b.Contributions {
			v, _ := new(big.Rat).SetString(field(string(c.PerHour), string(c.SinceYesterday), string(c.SinceLastWeek)))
			total.Add(total, v)
		}
		v, _ := new(big.Rat).SetString(field(string(b.Other.PerHour), string(b.Other.SinceYesterday), string(b.Other.SinceLastWeek)))
		return total.Add(total, v)
	}
	for _, c := range []struct {
		want  queryapi.Decimal
		field func(perHour, yesterday, week string) string
	}{
		{b.PerHour, func(v, _, _ string) string { return v }},
		{b.SinceYesterday, func(_, v, _ string) string { return v }},
		{b.SinceLastWeek, func(_, _, v string) string { return v }},
	} {
		want, _ := new(big.Rat).SetString(string(c.want))
		// Each rate is rounded to a micro-credit by itself.
		if diff := new(big.Rat).Sub(sum(c.field), want); diff.Abs(diff).Cmp(big.NewRat(102, 1_000_000)) > 0 {
			t.Errorf("they add up to %s, want %s", sum(c.field).FloatString(6), c.want)
		}
	}
	// A ledger that fits keeps every instant, beside the grid where there is room.
	ledger("ws_b", 900)
	o = getInto[queryapi.Outlook](h, "/v1/workspaces/ws_b/projection")
	points := make(map[string]bool)
	for _, p := range o.Balance {
		points[string(p.At)] = true
	}
	for _, u := range o.Unused {
		if !points[string(u.At)] {
			t.Errorf("no point at %s, when %s expires", u.At, u.P90)
		}
	}
	if n := len(o.Balance); n < 1350 || n > 2000 {
		t.Errorf("%d points of a ledger with 900 grants", n)
	}
}
