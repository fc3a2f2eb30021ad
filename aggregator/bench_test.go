package aggregator_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	benchWorkspaces = 10
	benchCampaigns  = 5000 // of all
)

// peakHeap measures the largest heap until done is closed.
func peakHeap(done <-chan struct{}) (peak uint64) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc)
		select {
		case <-done:
			return peak
		case <-ticker.C:
		}
	}
}

// projections are how many campaigns were projected, and in how many seconds.
func projections(b *testing.B, registry *prometheus.Registry) (campaigns, seconds float64) {
	b.Helper()
	families, err := registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, family := range families {
		switch family.GetName() {
		case "drawdown_aggregator_projected_campaigns_total":
			campaigns = family.GetMetric()[0].GetCounter().GetValue()
		case "drawdown_aggregator_project_seconds":
			seconds = family.GetMetric()[0].GetHistogram().GetSampleSum()
		}
	}
	return campaigns, seconds
}

// BenchmarkProject is a refresh of 5,000 active campaigns of ten workspaces,
// each used in every hour of eight weeks, with credits for a year: the first
// one reads everything, those after it what was counted since.
func BenchmarkProject(b *testing.B) {
	r := newRig(b)
	now := r.clock()
	year := now.Truncate(time.Hour).AddDate(1, 0, 0)
	for i := range benchWorkspaces {
		r.grant(fmt.Sprintf("ws_%d", i), "g1", 100_000_000_000_000, now.AddDate(0, 0, -60).Truncate(time.Minute), &year)
	}
	r.exec(fmt.Sprintf(`INSERT INTO campaigns (workspace_id, campaign_id, time, event_id, name, status, quota_micro, koff)
		SELECT concat('ws_', toString(number %% %d)), concat('cmp_', toString(number)), ?, toString(number), 'Name', 'ACTIVE', 100000000000, number FROM numbers(%d)`,
		benchWorkspaces, benchCampaigns), now.AddDate(0, 0, -60))
	r.exec(fmt.Sprintf(`INSERT INTO usage_15m (workspace_id, bucket, campaign_id, credits_micro, events)
		SELECT concat('ws_', toString(intDiv(number, 1344) %% %d)), toStartOfHour(toDateTime(?)) - number %% 1344 * 3600,
			concat('cmp_', toString(intDiv(number, 1344))), 1000000 + cityHash64(number) %% 3000000, 1 FROM numbers(1344 * %d)`,
		benchWorkspaces, benchCampaigns), now)
	r.counted()
	for b.Loop() {
		registry := prometheus.NewRegistry()
		done := make(chan struct{})
		peak := make(chan uint64, 1)
		runtime.GC()
		go func() { peak <- peakHeap(done) }()
		stopPeak := sync.OnceFunc(func() { close(done) })
		_, stop := r.startWith("aggregators", registry)
		var first, seconds float64
		rows := float64(benchCampaigns + 2*benchWorkspaces)
		await := func(rows float64) {
			eventually(b, "projections", func() bool {
				var campaigns float64
				campaigns, seconds = projections(b, registry)
				return campaigns >= rows
			})
		}
		await(rows)
		eventually(b, "the end of the first refresh", func() bool { _, seconds = projections(b, registry); return seconds > 0 })
		first = seconds
		for i := range benchWorkspaces {
			r.insert(event{fmt.Sprintf("ws_%d", i), fmt.Sprintf("cmp_%d", i), r.clock(), 1_000_000})
		}
		r.pass(time.Minute)
		await(2 * rows)
		stop()
		_, seconds = projections(b, registry)
		stopPeak()
		b.ReportMetric(first, "first-s")
		b.ReportMetric(seconds-first, "next-s")
		b.ReportMetric(float64(<-peak)/1e6, "peak-MB")
	}
}
