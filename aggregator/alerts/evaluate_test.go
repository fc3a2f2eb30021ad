package alerts_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

const (
	minute schemas.Millis = 60_000
	hour                  = 60 * minute
	day                   = 24 * hour
)

// noon is 2025-11-21T12:00:00Z.
var noon = schemas.MillisOf(time.Date(2025, 11, 21, 12, 0, 0, 0, time.UTC))

// fataler is what testing.T, testing.B and rapid.T have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func credits(t fataler, text string) schemas.Total {
	t.Helper()
	c, err := schemas.ParseCredits(text)
	if err != nil {
		t.Fatal(err)
	}
	return c.Total()
}

func ruleOf(t fataler, kind schemas.AlertKind, params string) schemas.AlertRule {
	t.Helper()
	p, err := schemas.ParseAlertParams(kind, []byte(params))
	if err != nil {
		t.Fatalf("%s %s: %v", kind, params, err)
	}
	return schemas.AlertRule{
		WorkspaceID: "acme", RuleID: "r", Version: 1, Revision: 1, Kind: kind, Name: string(kind), Enabled: true,
		Params: p, SilencedUntil: schemas.NoInstant,
	}
}

// figuresAt is a workspace with 1,000 of 2,000 credits left that expire in
// thirty days.
func figuresAt(at schemas.Millis) *alerts.Figures {
	return &alerts.Figures{
		At: at, Name: "Acme", Granted: true,
		Remaining: schemas.TotalOf(1000 * schemas.MicrosPerCredit), Allocated: schemas.TotalOf(2000 * schemas.MicrosPerCredit),
		ExpiresAt: at + 30*day, Runway: alerts.Runway{ExhaustsAt: schemas.NoInstant},
		Gross:    func(time.Duration) (schemas.Total, bool) { return schemas.Total{}, false },
		Expected: func(_, _ schemas.Millis) (float64, bool) { return 0, false },
	}
}

// TestEachKindAtItsThresholds puts each figure right at, and a micro-credit or
// a millisecond beside, what a rule says.
func TestEachKindAtItsThresholds(t *testing.T) {
	left := func(text string) func(*alerts.Figures) {
		return func(f *alerts.Figures) { f.Remaining = credits(t, text) }
	}
	runway := func(length schemas.Millis) func(*alerts.Figures) {
		return func(f *alerts.Figures) { f.Runway = alerts.Runway{ExhaustsAt: f.At + length, Method: "run_rate"} }
	}
	unused := func(expiries ...alerts.Expiry) func(*alerts.Figures) {
		return func(f *alerts.Figures) {
			for _, e := range expiries {
				e.At += f.At
				f.Expiries = append(f.Expiries, e)
			}
		}
	}
	gross := func(used map[string]string) func(*alerts.Figures) {
		return func(f *alerts.Figures) {
			f.Gross = func(window time.Duration) (schemas.Total, bool) {
				for length, text := range used {
					if parsed, err := time.ParseDuration(length); err == nil && parsed == window {
						return credits(t, text), true
					}
				}
				return schemas.Total{}, false
			}
		}
	}
	campaign := func(c alerts.Campaign, used string) func(*alerts.Figures) {
		return func(f *alerts.Figures) {
			c.ID, c.Used = "cmp", credits(t, used)
			f.Campaigns = append(f.Campaigns, c)
		}
	}
	spike := func(used string, expected float64) func(*alerts.Figures) {
		return func(f *alerts.Figures) {
			gross(map[string]string{"1h": used})(f)
			f.Expected = func(from, to schemas.Millis) (float64, bool) {
				if from != f.At-hour || to != f.At {
					t.Errorf("expected of [%v, %v)", from, to)
				}
				return expected, !math.IsNaN(expected)
			}
		}
	}
	never := func(f *alerts.Figures) { f.Runway.Never = true }
	nothing := func(*alerts.Figures) {}
	noGrant := func(f *alerts.Figures) {
		f.Granted, f.Remaining, f.Allocated = false, credits(t, "-5"), schemas.Total{}
	}
	expired := func(f *alerts.Figures) { f.Remaining, f.Allocated = schemas.Total{}, schemas.Total{} }
	noExpiry := func(f *alerts.Figures) { f.ExpiresAt = schemas.NoInstant }
	active := alerts.Campaign{Status: "ACTIVE", HasQuota: true, Quota: 333 * schemas.MicrosPerCredit}
	with := func(change func(c *alerts.Campaign)) alerts.Campaign {
		c := active
		change(&c)
		return c
	}
	projected := func(p float64) alerts.Campaign {
		return with(func(c *alerts.Campaign) { c.Projected, c.Method = p, "seasonal" })
	}
	for _, c := range []struct {
		kind   schemas.AlertKind
		params string
		set    func(*alerts.Figures)
		want   string
	}{
		{schemas.BalanceBelow, `{"credits":"500"}`, left("500"), "met"},
		{schemas.BalanceBelow, `{"credits":"500"}`, left("500.000001"), "between"},
		{schemas.BalanceBelow, `{"credits":"500"}`, left("550"), "between"},
		{schemas.BalanceBelow, `{"credits":"500"}`, left("550.000001"), "cleared"},
		{schemas.BalanceBelow, `{"credits":"500","hysteresis":0}`, left("500.000001"), "cleared"},
		{schemas.BalanceBelow, `{"credits":"0"}`, left("0"), "met"},
		{schemas.BalanceBelow, `{"credits":"0"}`, left("0.000001"), "cleared"},
		{schemas.BalanceBelow, `{"credits":"0"}`, left("-7"), "met"},
		{schemas.BalanceBelow, `{"credits":"0"}`, noGrant, "no_grant"},
		{schemas.BalanceBelow, `{"percent":12.5}`, left("250"), "met"},
		{schemas.BalanceBelow, `{"percent":12.5}`, left("250.000001"), "between"},
		{schemas.BalanceBelow, `{"percent":12.5}`, left("275.000001"), "cleared"},
		{schemas.BalanceBelow, `{"percent":12.5}`, expired, "met"},
		{schemas.BalanceBelow, `{"percent":12.5}`, noGrant, "no_grant"},

		{schemas.RunwayBelow, `{"days":7}`, runway(7 * day), "met"},
		{schemas.RunwayBelow, `{"days":7}`, runway(7*day + 1), "between"},
		{schemas.RunwayBelow, `{"days":7}`, runway(7*day + 7*day/10), "between"},
		{schemas.RunwayBelow, `{"days":7}`, runway(7*day + 7*day/10 + 1), "cleared"},
		{schemas.RunwayBelow, `{"days":0.25}`, runway(6 * hour), "met"},
		{schemas.RunwayBelow, `{"days":7}`, never, "cleared"},
		{schemas.RunwayBelow, `{"days":7}`, nothing, "no_forecast"},
		{schemas.RunwayBelow, `{"days":7}`, left("0"), "met"},
		{schemas.RunwayBelow, `{"days":7}`, noGrant, "no_grant"},

		{schemas.ExpiringUnused, `{"days":14,"credits":"100"}`, unused(alerts.Expiry{At: 14 * day, Unused: 100, Method: "seasonal"}), "met"},
		{schemas.ExpiringUnused, `{"days":14,"credits":"100"}`, unused(alerts.Expiry{At: 14*day + 1, Unused: 100, Method: "seasonal"}), "cleared"},
		{schemas.ExpiringUnused, `{"days":14,"credits":"100"}`, unused(alerts.Expiry{At: day, Unused: 99, Method: "seasonal"}), "between"},
		{schemas.ExpiringUnused, `{"days":14,"credits":"100"}`, unused(alerts.Expiry{At: day, Unused: 89, Method: "seasonal"}), "cleared"},
		{
			schemas.ExpiringUnused, `{"days":14,"credits":"100"}`,
			unused(alerts.Expiry{At: day, Unused: 60, Method: "run_rate"}, alerts.Expiry{At: 2 * day, Unused: 60, Method: "run_rate"}), "met",
		},
		{schemas.ExpiringUnused, `{"days":14,"credits":"100"}`, unused(alerts.Expiry{At: day}), "no_forecast"},
		{schemas.ExpiringUnused, `{"days":14,"credits":"100"}`, unused(alerts.Expiry{At: 15 * day}), "cleared"},
		{schemas.ExpiringUnused, `{"days":14,"percent":10}`, unused(alerts.Expiry{At: day, Unused: 200, Method: "seasonal"}), "met"},
		{schemas.ExpiringUnused, `{"days":14,"credits":"0"}`, nothing, "cleared"},
		{schemas.ExpiringUnused, `{"days":14}`, noGrant, "no_grant"},

		// 1,000 credits in 30 days are 1.388889 an hour.
		{schemas.BurnRate, `{"windows":[{"long":"6h","short":"30m","factor":6}]}`, gross(map[string]string{"6h": "50", "30m": "4.166667"}), "between"},
		{schemas.BurnRate, `{"windows":[{"long":"6h","short":"30m","factor":6}]}`, gross(map[string]string{"6h": "50.000001", "30m": "4.166667"}), "met"},
		{schemas.BurnRate, `{"windows":[{"long":"6h","short":"30m","factor":6}]}`, gross(map[string]string{"6h": "50.000001", "30m": "4.166666"}), "between"},
		{schemas.BurnRate, `{"windows":[{"long":"6h","short":"30m","factor":6}]}`, gross(map[string]string{"6h": "50.000001", "30m": "3.75"}), "cleared"},
		{schemas.BurnRate, `{"windows":[{"long":"6h","short":"30m","factor":6}]}`, gross(map[string]string{"6h": "45", "30m": "9"}), "cleared"},
		{schemas.BurnRate, `{"windows":[{"long":"6h","short":"30m","factor":6}]}`, nothing, "no_usage"},
		{schemas.BurnRate, `{}`, gross(map[string]string{"1h": "20.000001", "5m": "1.666667", "6h": "0", "30m": "0", "72h": "0"}), "met"},
		{schemas.BurnRate, `{}`, gross(map[string]string{"1h": "20", "5m": "1.666667", "6h": "50", "30m": "5", "72h": "100"}), "between"},
		{schemas.BurnRate, `{}`, gross(map[string]string{"1h": "10", "5m": "1.6", "6h": "10", "30m": "5", "72h": "10"}), "cleared"},
		{schemas.BurnRate, `{}`, noExpiry, "cleared"},
		{schemas.BurnRate, `{}`, left("0"), "no_credits"},
		{schemas.BurnRate, `{}`, noGrant, "no_grant"},
		{schemas.BurnRate, `{}`, func(f *alerts.Figures) { f.ExpiresAt = f.At + 30*minute }, "cleared"},

		{schemas.BurnSpike, `{"factor":3,"credits":"20"}`, spike("30", 10), "between"},
		{schemas.BurnSpike, `{"factor":3,"credits":"20"}`, spike("30.000001", 10), "met"},
		{schemas.BurnSpike, `{"factor":3,"credits":"20"}`, spike("27", 10), "cleared"},
		{schemas.BurnSpike, `{"factor":3,"credits":"20"}`, spike("20", 1), "met"},
		{schemas.BurnSpike, `{"factor":3,"credits":"20"}`, spike("19.999999", 1), "between"},
		{schemas.BurnSpike, `{"factor":3,"credits":"20"}`, spike("17.999999", 1), "cleared"},
		{schemas.BurnSpike, `{"factor":3,"credits":"0"}`, spike("0", 0), "cleared"},
		{schemas.BurnSpike, `{"factor":3,"percent":1}`, spike("20", 0), "met"},
		{schemas.BurnSpike, `{"factor":3,"percent":1}`, spike("100", math.NaN()), "no_forecast"},
		{schemas.BurnSpike, `{"factor":3,"percent":1}`, nothing, "no_usage"},

		// A third of a third: 90 % of 333 are 299.7.
		{schemas.QuotaUsed, `{"percent":90}`, campaign(active, "299.7"), "met"},
		{schemas.QuotaUsed, `{"percent":90}`, campaign(active, "299.699999"), "between"},
		{schemas.QuotaUsed, `{"percent":90}`, campaign(active, "269.73"), "between"},
		{schemas.QuotaUsed, `{"percent":90}`, campaign(active, "269.729999"), "cleared"},
		{schemas.QuotaUsed, `{"percent":90}`, campaign(with(func(c *alerts.Campaign) { c.Status = "PAUSED" }), "300"), "met"},
		{schemas.QuotaUsed, `{"percent":90}`, campaign(with(func(c *alerts.Campaign) { c.Status = "COMPLETED" }), "300"), "cleared"},
		{schemas.QuotaUsed, `{"percent":90}`, campaign(with(func(c *alerts.Campaign) { c.Status = "DRAFT" }), "300"), "cleared"},
		{schemas.QuotaUsed, `{"percent":90}`, campaign(with(func(c *alerts.Campaign) { c.HasQuota = false }), "300"), "none"},
		{schemas.QuotaUsed, `{"percent":90,"campaign_id":"cmp"}`, campaign(with(func(c *alerts.Campaign) { c.HasQuota = false }), "300"), "cleared"},
		{schemas.QuotaUsed, `{"percent":90,"campaign_id":"cmp"}`, campaign(active, "300"), "met"},
		{schemas.QuotaUsed, `{"percent":90,"campaign_id":"other"}`, campaign(active, "300"), "no_campaign"},
		{schemas.QuotaUsed, `{"percent":90}`, campaign(with(func(c *alerts.Campaign) { c.Quota = 0 }), "0"), "cleared"},
		{schemas.QuotaUsed, `{"percent":90}`, campaign(with(func(c *alerts.Campaign) { c.Quota = 0 }), "0.000001"), "met"},
		{schemas.QuotaUsed, `{"percent":0.01}`, campaign(with(func(c *alerts.Campaign) { c.Quota = 1 }), "-1"), "cleared"},
		// 33.33 % of 1 micro-credit: a share is rounded up.
		{schemas.QuotaUsed, `{"percent":33.33}`, campaign(with(func(c *alerts.Campaign) { c.Quota = 10 }), "0.000003"), "between"},
		{schemas.QuotaUsed, `{"percent":33.33}`, campaign(with(func(c *alerts.Campaign) { c.Quota = 10 }), "0.000004"), "met"},

		{schemas.QuotaProjected, `{}`, campaign(projected(333), "1"), "met"},
		{schemas.QuotaProjected, `{}`, campaign(projected(332.9), "1"), "between"},
		{schemas.QuotaProjected, `{}`, campaign(projected(299), "1"), "cleared"},
		{schemas.QuotaProjected, `{}`, campaign(active, "1"), "no_forecast"},
		{schemas.QuotaProjected, `{}`, campaign(active, "333"), "met"},
		{schemas.QuotaProjected, `{}`, campaign(projected(math.NaN()), "1"), "no_forecast"},

		{schemas.Freshness, `{}`, nothing, "none"},
	} {
		rule, figures := ruleOf(t, c.kind, c.params), figuresAt(noon)
		c.set(figures)
		if got := verdictOf(t, alerts.Evaluate(&rule, figures)); got != c.want {
			t.Errorf("%s %s is %s, not %s", c.kind, c.params, got, c.want)
		}
		rule.Enabled = false
		if got := verdictOf(t, alerts.Evaluate(&rule, figures)); got != "none" {
			t.Errorf("%s %s, switched off, is %s", c.kind, c.params, got)
		}
	}
}

func verdictOf(t *testing.T, findings []alerts.Finding) string {
	t.Helper()
	if len(findings) == 0 {
		return "none"
	}
	if len(findings) > 1 {
		t.Fatalf("%d findings", len(findings))
	}
	f := &findings[0]
	if f.Message() == "" || !strings.HasPrefix(f.Detail().JSON(), "{") || f.At != noon {
		t.Errorf("says %q, %s", f.Message(), f.Detail().JSON())
	}
	switch {
	case f.Met && (f.Cleared || f.Unknown != ""), f.Cleared && f.Unknown != "":
		t.Fatalf("both: %+v", f)
	case f.Met:
		return "met"
	case f.Cleared:
		return "cleared"
	case f.Unknown != "":
		return string(f.Unknown)
	}
	return "between"
}

// TestScaledWindowsAreSharesOfWhatIsLeft: by default 2 % of the remainder in an
// hour is too fast whether there are 60 or 90 days to go, and near the expiry
// only what would not last.
func TestScaledWindowsAreSharesOfWhatIsLeft(t *testing.T) {
	rule := ruleOf(t, schemas.BurnRate, `{}`)
	for _, c := range []struct {
		toGo schemas.Millis
		met  string // an hour's usage that is too much, by a micro-credit
	}{
		{90 * day, "20"},
		{60 * day, "20"},
		{30 * day, "20"},
		{15 * day, "20"},
		{2 * day, "20.833333"}, // 2 % is less than the 48th part that lasts
		{3 * hour, "333.333333"},
	} {
		figures := figuresAt(noon)
		figures.ExpiresAt = noon + c.toGo
		limit := credits(t, c.met)
		for extra, want := range map[int64]string{0: "between", 1: "met"} {
			figures.Gross = func(window time.Duration) (schemas.Total, bool) {
				if window > time.Hour || window == 30*time.Minute {
					return schemas.Total{}, true
				}
				return limit.Add(schemas.TotalOf(extra)), true
			}
			if got := verdictOf(t, alerts.Evaluate(&rule, figures)); got != want {
				t.Errorf("%d hours to go, %s and %d: %s", c.toGo/hour, c.met, extra, got)
			}
		}
	}
}

func TestWindowsAreThoseThatRulesAskFor(t *testing.T) {
	off := ruleOf(t, schemas.BurnSpike, `{"factor":2,"window":"12h"}`)
	off.Enabled = false
	rules := []schemas.AlertRule{
		ruleOf(t, schemas.BurnSpike, `{"factor":2,"window":"6h"}`), ruleOf(t, schemas.BalanceBelow, `{"credits":1}`),
		ruleOf(t, schemas.BurnRate, `{}`), off,
	}
	asked := map[time.Duration]bool{}
	for _, w := range alerts.Windows(rules) {
		if asked[w] {
			t.Errorf("%v twice", w)
		}
		asked[w] = true
	}
	figures := figuresAt(noon)
	figures.Expected = func(_, _ schemas.Millis) (float64, bool) { return 1, true }
	figures.Gross = func(w time.Duration) (schemas.Total, bool) {
		if !asked[w] {
			t.Errorf("%v was not announced", w)
		}
		return schemas.Total{}, true
	}
	for i := range rules {
		alerts.Evaluate(&rules[i], figures)
	}
	if len(asked) != 5 {
		t.Errorf("asked for %v", asked)
	}
}

// TestForeseenIsWhatTheBurnDownSays: overdraft is paid first out of what is to
// come, and what never expires is no expiry.
func TestForeseenIsWhatTheBurnDownSays(t *testing.T) {
	grant := func(id string, credits schemas.Credits, from, to schemas.Millis) balance.Entry {
		return balance.Entry{
			Type: schemas.CreditsGranted, EventID: id, GrantID: id, At: noon - day, EffectiveAt: from, ExpiresAt: to,
			Credits: credits * schemas.MicrosPerCredit, Priority: 100,
		}
	}
	for name, c := range map[string]struct {
		entries  []balance.Entry
		used     int64 // before noon
		rate     int64 // credits a day
		ends     schemas.Millis
		never    bool
		expiries []alerts.Expiry
	}{
		"overdraft": {
			[]balance.Entry{grant("a", 10, noon-hour, noon-minute), grant("b", 100, noon+day, noon+3*day)}, 40, 1, noon, false,
			[]alerts.Expiry{{At: noon + 3*day, Unused: 100 - 40 - 3, Method: "run_rate"}},
		},
		"in turn": {
			[]balance.Entry{grant("a", 10, noon-hour, noon+2*day), grant("b", 10, noon-hour, schemas.NoInstant)}, 1, 4, noon + 2*day + 60*hour, false,
			[]alerts.Expiry{{At: noon + 2*day, Unused: 1, Method: "run_rate"}},
		},
		"too late": {
			[]balance.Entry{grant("a", 10, noon-hour, schemas.NoInstant), grant("b", 100, noon+3*day, noon+4*day)}, 0, 5, noon + 2*day, false,
			[]alerts.Expiry{{At: noon + 4*day, Unused: 100 - 5 - 5, Method: "run_rate"}},
		},
		"for ever": {[]balance.Entry{grant("a", 10, noon-hour, schemas.NoInstant)}, 1, 0, schemas.NoInstant, true, nil},
	} {
		segments, err := balance.Segments(c.entries, noon)
		if err != nil {
			t.Fatal(err)
		}
		segments[len(segments)-1].Net = schemas.TotalOf(c.used * schemas.MicrosPerCredit)
		state, err := balance.Burn(c.entries, segments, noon)
		if err != nil {
			t.Fatal(err)
		}
		f := &alerts.Figures{At: noon}
		f.SetBalance(state)
		steady := balance.Steady{From: noon, Gross: schemas.TotalOf(c.rate * schemas.MicrosPerCredit), Window: day}
		if err := f.Foresee(state, alerts.Outlook{Method: "run_rate", Usage: steady}); err != nil {
			t.Fatal(err)
		}
		if f.Runway.ExhaustsAt != c.ends || f.Runway.Never != c.never || !slices.Equal(f.Expiries, c.expiries) {
			t.Errorf("%s: %+v, %+v", name, f.Runway, f.Expiries)
		}
		if err := f.Foresee(state, alerts.Outlook{Method: "insufficient_data", Usage: steady}); err != nil || f.Runway.Known() {
			t.Errorf("%s: %+v is known (%v)", name, f.Runway, err)
		}
		for _, e := range f.Expiries {
			if e.Method != "" || e.At <= noon {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
}
