package alerts_test

import (
	"testing"
	"time"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/schemas"
)

// TestMessagesAreSentencesForPeople is what a receiver reads, to the letter.
func TestMessagesAreSentencesForPeople(t *testing.T) {
	at := noon
	known := func(change func(f *alerts.Figures)) *alerts.Figures {
		f := figuresAt(at)
		f.Remaining, f.Allocated, f.ExpiresAt = credits(t, "1204.4"), credits(t, "12500"), at+24*day
		f.Runway = alerts.Runway{ExhaustsAt: at + 12*day, Method: "seasonal"}
		f.Gross = func(window time.Duration) (schemas.Total, bool) {
			return schemas.TotalOf(int64(window.Minutes()) * 6_250_000), true
		}
		f.Expected = func(_, _ schemas.Millis) (float64, bool) { return 91.5, true }
		if change != nil {
			change(f)
		}
		return f
	}
	campaign := func(c alerts.Campaign) *alerts.Figures {
		return known(func(f *alerts.Figures) {
			c.ID, c.HasQuota, c.Quota, c.ProjectedAt = "cmp_7", true, 1000*schemas.MicrosPerCredit, at+9*day
			f.Campaigns = []alerts.Campaign{c}
		})
	}
	for _, c := range []struct {
		kind     schemas.AlertKind
		params   string
		figures  *alerts.Figures
		message  string
		inDetail string
	}{
		{
			schemas.BalanceBelow, `{"percent":10}`, known(nil),
			"Acme has 1,204 credits left, 9.6 % of what was granted; at today's rate they end on 3 December, 12 days before they expire",
			`{"value":"1204.4","threshold":"1250","unit":"credits","remaining":"1204.4","allocated":"12500","expires_at":"2025-12-15T12:00:00.000Z","exhausts_at":"2025-12-03T12:00:00.000Z","method":"seasonal"}`,
		},
		{
			schemas.BalanceBelow, `{"percent":10}`, known(func(f *alerts.Figures) {
				f.Runway, f.Zone = alerts.Runway{ExhaustsAt: schemas.NoInstant, Never: true}, time.FixedZone("+14", 14*3600)
			}),
			"Acme has 1,204 credits left, 9.6 % of what was granted; some expire on 16 December", "",
		},
		{schemas.BalanceBelow, `{"credits":0}`, known(func(f *alerts.Figures) { f.Remaining = credits(t, "0") }), "Acme has no credits left", ""},
		{
			schemas.BalanceBelow, `{"credits":0}`, known(func(f *alerts.Figures) { f.Remaining, f.Name = credits(t, "-1234567.899"), "" }),
			"acme has no credits left and has used 1,234,567 credits more than it was granted", "",
		},
		{schemas.BalanceBelow, `{"credits":0}`, known(func(f *alerts.Figures) { f.Granted = false }), "Acme was never given credits", `{"unit":"credits","unknown":"no_grant"}`},
		{
			schemas.BalanceBelow, `{"credits":5}`, known(func(f *alerts.Figures) {
				f.Remaining, f.Allocated, f.Runway.ExhaustsAt, f.ExpiresAt = credits(t, "1"), credits(t, "0"), at+100*day, schemas.NoInstant
			}),
			"Acme has 1 credit left; at today's rate they end on 1 March 2026", "",
		},
		{
			schemas.RunwayBelow, `{"days":14}`, known(nil),
			"Acme has 1,204 credits left, enough for 12 days; at today's rate they end on 3 December, 12 days before they expire", "",
		},
		{schemas.RunwayBelow, `{"days":14}`, known(func(f *alerts.Figures) {
			f.Runway = alerts.Runway{ExhaustsAt: schemas.NoInstant, Never: true}
		}), "Acme has 1,204 credits left, with no end in sight", ""},
		{schemas.RunwayBelow, `{"days":14}`, known(func(f *alerts.Figures) {
			f.Runway = alerts.Runway{ExhaustsAt: schemas.NoInstant}
		}), "Acme is too young or uses credits too seldom for a forecast", ""},
		{
			schemas.ExpiringUnused, `{"days":14}`, known(func(f *alerts.Figures) {
				f.Expiries = []alerts.Expiry{{At: at + 30*hour, Unused: 3199.7, Method: "seasonal"}, {At: at + 20*day}}
			}),
			"About 3,199 credits of Acme will expire unused on 22 November, in 30 hours",
			`{"value":"3199.7","threshold":"125","unit":"credits","remaining":"1204.4","allocated":"12500","expires_at":"2025-11-22T18:00:00.000Z","exhausts_at":"2025-12-03T12:00:00.000Z","method":"seasonal"}`,
		},
		{
			schemas.ExpiringUnused, `{"days":14}`, known(func(f *alerts.Figures) {
				f.Expiries = []alerts.Expiry{{At: at + 30*hour, Unused: 300, Method: "seasonal"}, {At: at + 10*day, Unused: 700, Method: "seasonal"}}
			}),
			"About 1,000 credits of Acme will expire unused within 14 days, the first on 22 November", "",
		},
		{schemas.ExpiringUnused, `{"days":1}`, known(nil), "No credits of Acme will expire unused within 1 day", ""},
		{
			schemas.BurnRate, `{"windows":[{"long":"6h","short":"30m","factor":6}]}`, known(nil),
			"Acme uses 375 an hour over the last 6 hours and 375 over the last 30 minutes, 179 times what lasts until the credits expire on 15 December",
			`{"value":"179.3424","threshold":"6","unit":"times","remaining":"1204.4","allocated":"12500","expires_at":"2025-12-15T12:00:00.000Z","exhausts_at":"2025-12-03T12:00:00.000Z","burn":{"long":"6h","short":"30m","long_per_hour":"375","short_per_hour":"375"}}`,
		},
		{
			schemas.BurnSpike, `{"factor":3}`, known(nil),
			"Acme used 375 credits in the last hour, 4.1 times what is usual at this time of the week (91.5)",
			`{"value":"375","threshold":"274.5","unit":"credits","used":"375","expected":"92"}`,
		},
		{
			schemas.BurnSpike, `{"factor":3,"window":"1d"}`, known(func(f *alerts.Figures) {
				f.Expected = func(_, _ schemas.Millis) (float64, bool) { return 0, true }
			}),
			"Acme used 9,000 credits in the last 24 hours, and usually uses none at this time of the week", "",
		},
		{
			schemas.QuotaUsed, `{"percent":90}`, campaign(alerts.Campaign{Name: "Spring", Status: "ACTIVE", Used: credits(t, "912.29")}),
			"Campaign Spring has used 912 of its quota of 1,000 credits (91.2 %)",
			`{"value":"91.229","threshold":"90","unit":"percent","campaign_id":"cmp_7","campaign_name":"Spring","status":"ACTIVE","used":"912.29","quota":"1000"}`,
		},
		{
			schemas.QuotaProjected, `{}`, campaign(alerts.Campaign{Status: "ACTIVE", Used: credits(t, "99.29"), Projected: 1239.8, Method: "run_rate"}),
			"Campaign cmp_7 will have used about 1,240 of its quota of 1,000 credits (124 %) by 30 November",
			`{"value":"123.98","threshold":"100","unit":"percent","campaign_id":"cmp_7","status":"ACTIVE","used":"99.29","quota":"1000","projected":"1240","projected_at":"2025-11-30T12:00:00.000Z","method":"run_rate"}`,
		},
		{
			schemas.QuotaProjected, `{}`, campaign(alerts.Campaign{Status: "ACTIVE", Used: credits(t, "1001")}),
			"Campaign cmp_7 has used 1,001 of its quota of 1,000 credits (100.1 %)", "",
		},
		{schemas.QuotaProjected, `{}`, campaign(alerts.Campaign{Status: "ACTIVE"}), "Campaign cmp_7 is too young or used too seldom for a forecast", ""},
		{schemas.QuotaUsed, `{"percent":90}`, campaign(alerts.Campaign{Status: "COMPLETED", Used: credits(t, "1")}), "Campaign cmp_7 is completed, having used 1 credit", ""},
		{schemas.QuotaUsed, `{"percent":90}`, campaign(alerts.Campaign{Status: "DRAFT"}), "Campaign cmp_7 has not begun", ""},
		{schemas.QuotaUsed, `{"percent":90,"campaign_id":"x"}`, known(nil), "There is no campaign x", `{"unit":"percent","unknown":"no_campaign","campaign_id":"x"}`},
	} {
		rule := ruleOf(t, c.kind, c.params)
		findings := alerts.Evaluate(&rule, c.figures)
		if len(findings) != 1 {
			t.Fatalf("%s: %d findings", c.kind, len(findings))
		}
		if got := findings[0].Message(); got != c.message {
			t.Errorf("%s says\n%q, not\n%q", c.kind, got, c.message)
		}
		if got := findings[0].Detail().JSON(); c.inDetail != "" && got != c.inDetail {
			t.Errorf("%s has\n%s, not\n%s", c.kind, got, c.inDetail)
		}
	}
}

func TestAStandstillIsOneFindingByTheClock(t *testing.T) {
	rule := schemas.DefaultAlertRules("acme")[len(schemas.DefaultAlertRules("acme"))-1]
	watch := alerts.Watch{}
	look := func(watermark, now schemas.Millis, want string) {
		t.Helper()
		watch = watch.See(watermark, now)
		f := watch.Finding(&rule, "Acme", now)
		got := map[bool]string{true: "met"}[f.Met] + map[bool]string{true: "cleared"}[f.Cleared] + string(f.Unknown)
		if got != want || f.Met != watch.Stale(now) {
			t.Errorf("at %v, watermark %v: %s, not %s", now, watermark, got, want)
		}
		if f.Met && f.Message() != "The figures of Acme have stood still since 12:00:05 UTC on 21 November: what was used since is not counted yet, and no other alert is looked at" {
			t.Errorf("says %q", f.Message())
		}
	}
	second := schemas.Millis(1000)
	look(noon, noon+10*second, "not_moved") // a new observer
	look(noon, noon+60*second, "not_moved")
	look(noon+5*second, noon+69*second, "cleared")
	look(noon+5*second, noon+129*second-1, "cleared")
	look(noon+5*second, noon+129*second, "met")
	look(noon+4*second, noon+200*second, "met") // another observer is behind
	look(noon+6*second, noon+201*second, "cleared")
	if (alerts.Watch{}).Stale(noon) {
		t.Error("nothing seen is stale")
	}
}
