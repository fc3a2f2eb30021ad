package alerts_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// BenchmarkEvaluate is 10,000 rules: the default ones of a thousand workspaces
// of twenty campaigns.
func BenchmarkEvaluate(b *testing.B) {
	figures := figuresAt(noon)
	figures.Runway = alerts.Runway{ExhaustsAt: noon + 40*day, Method: "seasonal"}
	figures.Expiries = []alerts.Expiry{{At: noon + 10*day, Unused: 1, Method: "seasonal"}}
	figures.Gross = func(w time.Duration) (schemas.Total, bool) { return schemas.TotalOf(w.Milliseconds() / 100), true }
	figures.Expected = func(_, _ schemas.Millis) (float64, bool) { return 40, true }
	for i := range 20 {
		figures.Campaigns = append(figures.Campaigns, alerts.Campaign{
			ID: fmt.Sprintf("cmp_%02d", i), Status: "ACTIVE", HasQuota: true, Quota: 1e9, Used: schemas.TotalOf(5e8), Projected: 700, Method: "seasonal",
		})
	}
	rules := schemas.DefaultAlertRules("acme")
	for name, run := range map[string]func(){
		"evaluate": func() {
			for i := range rules {
				alerts.Evaluate(&rules[i], figures)
			}
		},
		"advance": func() {
			(alerts.Book{}).Advance(rules, figures)
		},
	} {
		b.Run(name+"/rules=10000", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for range 1000 {
					run()
				}
			}
		})
	}
}

// BenchmarkReplay is thirty days by quarters of an hour of a workspace with 500
// campaigns, each with a quota, and 20 or 1,000 grants.
func BenchmarkReplay(b *testing.B) {
	for _, grants := range []int{20, 1000} {
		timeline := &alerts.Timeline{}
		for i := range grants {
			at := runFrom - schemas.Millis(i)*30*day/schemas.Millis(grants)*2
			timeline.Entries = append(timeline.Entries, balance.Entry{
				Type: schemas.CreditsGranted, EventID: fmt.Sprint(i), GrantID: fmt.Sprint(i), At: at, EffectiveAt: at, ExpiresAt: at + 90*day,
				Credits: schemas.Credits(2_000_000 / grants * schemas.MicrosPerCredit), Class: schemas.Paid, Priority: 100,
			})
		}
		for at := runFrom - 56*day; at < runTo; at += quarter {
			used := schemas.TotalOf(500 * 400_000)
			timeline.Usage = append(timeline.Usage, alerts.Bucket{From: at, To: at + quarter, Net: used, Gross: used})
		}
		for i := range 500 {
			c := alerts.CampaignTimeline{ID: fmt.Sprintf("cmp_%03d", i), States: []alerts.CampaignState{{
				At: runFrom - 56*day, Status: "ACTIVE", HasQuota: true, Quota: schemas.Credits(2500+3*i) * schemas.MicrosPerCredit, EndsAt: schemas.NoInstant,
			}}}
			for _, usage := range timeline.Usage {
				usage.Net, usage.Gross = schemas.TotalOf(400_000), schemas.TotalOf(400_000)
				c.Usage = append(c.Usage, usage)
			}
			timeline.Campaigns = append(timeline.Campaigns, c)
		}
		for _, rule := range schemas.DefaultAlertRules("acme") {
			b.Run(fmt.Sprintf("%s/grants=%d", rule.RuleID, grants), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := alerts.Replay(rule, timeline, runFrom, runTo, quarter); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
