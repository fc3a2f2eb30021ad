package main_test

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // zones in tests do not depend on the machine
)

// What the retail set is known to hold (../shared/data/README.md).
const (
	retailRows    = 541_909
	retailCredits = 5_176_450
)

// retailZones are the zones whose days are compared.
var retailZones = []string{"UTC", "Asia/Kolkata", "America/New_York"}

// retailFiles are the paths of the set and of its mapping. A machine without
// the set skips the test.
func retailFiles(t testing.TB) (data, mapping string) {
	t.Helper()
	data = repository(t, "..", "shared", "data", "online-retail.csv.gz")
	if _, err := os.Stat(data); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("SKIPPED, REAL DATA IS MISSING: %s is not there", data)
	}
	return data, repository(t, "docs", "mappings", "online-retail.json")
}

// sums are what some rows add up to, in whole credits.
type sums struct {
	events, credits, refunds int64
	last                     time.Time
}

func (s *sums) add(quantity int64, at time.Time) {
	s.events++
	s.credits += quantity
	if quantity < 0 {
		s.refunds -= quantity
	}
	if at.After(s.last) {
		s.last = at
	}
}

// retail is the oracle of the set: its rows added up without any code of
// drawdown.
type retail struct {
	total       sums
	first, last time.Time // as published
	countries   map[string]*country
}

type country struct {
	total     sums
	sold      []sold
	campaigns map[string]*sums            // "": unattributed
	actions   map[string]*sums            // sale, return
	days      map[string]map[string]*sums // by zone, then by local date after the shift
}

// sold is a row of the set.
type sold struct {
	at               time.Time
	campaign, action string
	quantity         int64
}

// readRetail adds up the set, its times moved by so many days.
func readRetail(t testing.TB, path string, shiftDays int) *retail {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	content, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(content).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	zones := map[string]*time.Location{}
	for _, name := range retailZones {
		if zones[name], err = time.LoadLocation(name); err != nil {
			t.Fatal(err)
		}
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	others := regexp.MustCompile(`[^a-z0-9]+`)
	r := &retail{countries: map[string]*country{}}
	for _, row := range rows[1:] {
		at, err := time.Parse(time.RFC3339, row[column["invoiced_at"]])
		if err != nil {
			t.Fatal(err)
		}
		quantity, err := strconv.ParseInt(row[column["quantity"]], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		at = at.AddDate(0, 0, shiftDays)
		if r.first.IsZero() || at.Before(r.first) {
			r.first = at
		}
		workspace := strings.Trim(others.ReplaceAllString(strings.ToLower(row[column["country"]]), "-"), "-")
		campaign, action := "", "sale"
		if customer := row[column["customer_id"]]; customer != "" {
			campaign = "cust-" + customer
		}
		if quantity < 0 {
			action = "return"
		}
		c := r.countries[workspace]
		if c == nil {
			c = &country{campaigns: map[string]*sums{}, actions: map[string]*sums{}, days: map[string]map[string]*sums{}}
			r.countries[workspace] = c
		}
		r.total.add(quantity, at)
		c.total.add(quantity, at)
		c.sold = append(c.sold, sold{at, campaign, action, quantity})
		addTo(c.campaigns, campaign, quantity, at)
		addTo(c.actions, action, quantity, at)
		for name, zone := range zones {
			if c.days[name] == nil {
				c.days[name] = map[string]*sums{}
			}
			addTo(c.days[name], at.In(zone).Format(time.DateOnly), quantity, at)
		}
	}
	r.last = r.total.last
	return r
}

func addTo(all map[string]*sums, key string, quantity int64, at time.Time) {
	if all[key] == nil {
		all[key] = &sums{}
	}
	all[key].add(quantity, at)
}

// shiftOf is the number of days that `drawdown import` says it moved times by.
func shiftOf(t testing.TB, printed string) int {
	t.Helper()
	match := regexp.MustCompile(`moved by (-?\d+) days`).FindStringSubmatch(printed)
	if match == nil {
		t.Fatalf("import does not say by how many days: %q", printed)
	}
	days, err := strconv.Atoi(match[1])
	if err != nil {
		t.Fatal(err)
	}
	return days
}

// compare compares every figure of the API with the oracle's: every country,
// every campaign of every country, every action, every day in every zone.
func (r *retail) compare(t *testing.T, a *api) {
	t.Helper()
	began := time.Now()
	if r.total.events != retailRows || r.total.credits != retailCredits {
		t.Errorf("the oracle is wrong: %+v", r.total)
	}
	var events, credits int64
	figures, wrong := 0, 0
	check := func(what, where string, got, want int64) {
		figures++
		if got == want {
			return
		}
		if wrong++; wrong <= 20 {
			t.Errorf("%s: %s is %d instead of %d", where, what, got, want)
		}
	}
	for _, workspace := range slices.Sorted(maps.Keys(r.countries)) {
		c := r.countries[workspace]
		balance := balanceAnswer{}
		a.must("workspaces/"+workspace+"/balance", nil, &balance)
		check("balance in micro-credits", workspace, int64(balance.Remaining), -c.total.credits*1_000_000)

		all, _ := a.campaigns(workspace, with(span(r.first, r.last.Add(time.Millisecond)), "limit", "500"))
		events += all.Total.Events
		credits += int64(all.Total.Used) / 1_000_000
		check("total in micro-credits", workspace, int64(all.Total.Used), c.total.credits*1_000_000)
		check("number of events", workspace, all.Total.Events, c.total.events)
		unattributed := sums{}
		if c.campaigns[""] != nil {
			unattributed = *c.campaigns[""]
		}
		check("unattributed micro-credits", workspace, int64(all.Unattributed.Used), unattributed.credits*1_000_000)
		check("unattributed events", workspace, all.Unattributed.Events, unattributed.events)
		attributed := len(c.campaigns)
		if unattributed.events > 0 {
			attributed--
		}
		check("number of campaigns", workspace, int64(len(all.Items)), int64(attributed))
		for _, item := range all.Items {
			want := c.campaigns[item.CampaignID]
			if want == nil {
				t.Errorf("%s has an unknown or repeated campaign %q", workspace, item.CampaignID)
				continue
			}
			delete(c.campaigns, item.CampaignID) // the next time it is repeated
			where := workspace + " campaign " + item.CampaignID
			check("use in micro-credits", where, int64(item.Used), want.credits*1_000_000)
			check("use over the whole life", where, int64(item.QuotaUsed), want.credits*1_000_000)
			if item.LastEventAt == nil || !item.LastEventAt.Equal(want.last) {
				t.Errorf("%s: last event at %v instead of %v", where, item.LastEventAt, want.last)
			}
			defer func() { c.campaigns[item.CampaignID] = want }()
		}
		r.compareUsage(a, workspace, check)
	}
	check("number of events", "all countries", events, retailRows)
	check("credits", "all countries", credits, retailCredits)
	if wrong > 0 {
		t.Errorf("%d of %d figures are wrong", wrong, figures)
	}
	t.Logf("%d figures of %d countries compared in %s: %d events, %d credits", figures, len(r.countries),
		time.Since(began).Round(time.Millisecond), events, credits)
}

// compareUsage compares every day in every zone and every action.
func (r *retail) compareUsage(a *api, workspace string, check func(what, where string, got, want int64)) {
	c := r.countries[workspace]
	for _, name := range retailZones {
		zone, err := time.LoadLocation(name)
		if err != nil {
			a.t.Fatal(err)
		}
		first, last := midnight(r.first, zone), midnight(r.last, zone).AddDate(0, 0, 1)
		usage := usageAnswer{}
		a.must("workspaces/"+workspace+"/usage", with(span(first, last), "bucket", "1d", "tz", name), &usage)
		check("total of the days in micro-credits", workspace+" "+name, int64(usage.Total), c.total.credits*1_000_000)
		if len(usage.Series) != 1 {
			a.t.Fatalf("%s: %d series without grouping", workspace, len(usage.Series))
		}
		points := usage.Series[0].Points
		day := first
		for _, point := range points {
			where := workspace + " " + name + " " + day.Format(time.DateOnly)
			check("start of the day", where, point.Start.Unix(), day.Unix())
			want := c.days[name][day.Format(time.DateOnly)]
			if want == nil {
				want = &sums{}
			}
			check("credits in micro-credits", where, int64(point.Credits), want.credits*1_000_000)
			check("refunds in micro-credits", where, int64(point.Refunds), want.refunds*1_000_000)
			check("number of events", where, point.Events, want.events)
			day = day.AddDate(0, 0, 1)
		}
		check("end of the days", workspace+" "+name, day.Unix(), last.Unix())
	}
	usage := usageAnswer{}
	a.must("workspaces/"+workspace+"/usage", with(span(r.first, r.last.Add(time.Millisecond)), "bucket", "1mo", "group_by", "action"), &usage)
	check("number of actions", workspace, int64(len(usage.Series)), int64(len(c.actions)))
	for _, series := range usage.Series {
		if want := c.actions[series.Key]; want != nil {
			check("credits in micro-credits", workspace+" action "+series.Key, int64(series.Total), want.credits*1_000_000)
		} else {
			a.t.Errorf("%s has an unknown action %q", workspace, series.Key)
		}
	}
}

// midnight is the start of the local day that an instant falls in.
func midnight(at time.Time, zone *time.Location) time.Time {
	year, month, day := at.In(zone).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, zone)
}
