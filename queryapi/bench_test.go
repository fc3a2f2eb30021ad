package queryapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// benchCampaigns and benchClients are those of the figures to reach (DESIGN
// section 12).
const (
	benchCampaigns = 500
	benchClients   = 8
)

// benchHarness has a workspace with a year of days, days of quarters, hours of
// minutes and minutes of raw events, two actions each, and a ledger. Its
// rollups are as large as those of any number of raw events.
func benchHarness(b *testing.B) *harness {
	b.Helper()
	now := time.Now().UTC().Truncate(time.Minute).Add(30 * time.Second)
	h := newHarness(b, now)
	fill := func(table string, width time.Duration, buckets int) {
		// Directly, not through the views.
		h.exec(fmt.Sprintf(`INSERT INTO %s SELECT 'ws_bench', toDateTime(%d, 'UTC') - %d * (1 + intDiv(number, %d)),
			concat('cmp_', toString(intDiv(number, 2) %% %d)), ['lead', 'phone'][number %% 2 + 1], 1000000 + number %% 7, number %% 3, 5
			FROM numbers(%d)`, table, now.Truncate(width).Unix(), int(width.Seconds()), 2*benchCampaigns, benchCampaigns, 2*benchCampaigns*buckets))
	}
	for _, view := range []string{"usage_1m_view", "usage_15m_view", "usage_15m_total_view", "usage_1d_view"} {
		h.exec("DROP VIEW " + view)
	}
	fill("usage_1d", 24*time.Hour, 400)
	fill("usage_15m", 15*time.Minute, 8*96)
	fill("usage_1m", time.Minute, 1440)
	h.exec(fmt.Sprintf(`INSERT INTO usage_15m_total SELECT 'ws_bench', toDateTime(%d, 'UTC') - 900 * (1 + number), 1000000, 0, 5 FROM numbers(%d)`,
		now.Truncate(15*time.Minute).Unix(), 400*96))
	h.exec(fmt.Sprintf(`INSERT INTO events (workspace_id, time, event_id, campaign_id, action, credits_micro)
		SELECT 'ws_bench', toDateTime64(%d, 3, 'UTC') - number / 100, toString(number), concat('cmp_', toString(number %% %d)), 'lead', 1000000
		FROM numbers(100000)`, now.Unix(), benchCampaigns))
	quota := schemas.Credits(1_000_000)
	for i := range benchCampaigns {
		if i < 20 {
			h.campaign("ws_bench", fmt.Sprintf("cmp_%d", i), fmt.Sprintf("Campaign %d", i), "ACTIVE", now.Add(-time.Hour), &quota)
		}
	}
	for month := range 24 {
		from := time.Date(now.Year(), now.Month()-time.Month(month), 1, 0, 0, 0, 0, time.UTC)
		to := from.AddDate(0, 1, 0)
		h.grant("ws_bench", fmt.Sprintf("g%d", month), 1_000_000_000_000, from, &to)
	}
	h.progress("ws_bench", 1_000_000, now)
	return h
}

// benchGet asks a server that makes every answer anew, and one that keeps them,
// as the program's does.
func benchGet(b *testing.B, h *harness, target string) {
	b.Helper()
	b.Run("made", func(b *testing.B) {
		benchServer(b, h.server, target)
		h.reportQueries(b)
	})
	b.Run("kept", func(b *testing.B) {
		benchServer(b, h.serverWith(func(c *queryapi.Config) {
			c.CacheBytes, c.ProgressAge, c.Now, c.Registerer = 64<<20, 100*time.Millisecond, time.Now, prometheus.NewRegistry()
		}), target)
	})
}

// benchServer asks with 8 clients at once and reports p50 and p99.
func benchServer(b *testing.B, server *queryapi.Server, target string) {
	b.Helper()
	get := func() (time.Duration, int) {
		request := httptest.NewRequest(http.MethodGet, target, nil)
		request.Header.Set("Authorization", "Bearer "+testToken)
		recorder := httptest.NewRecorder()
		begin := time.Now()
		server.Handler().ServeHTTP(recorder, request)
		if recorder.Code != http.StatusOK {
			b.Errorf("%d %s", recorder.Code, recorder.Body)
		}
		return time.Since(begin), recorder.Body.Len()
	}
	_, size := get()
	var mu sync.Mutex
	var took []time.Duration
	var wait sync.WaitGroup
	requests := make(chan struct{})
	b.ResetTimer()
	for range benchClients {
		wait.Go(func() {
			for range requests {
				d, _ := get()
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
	for range b.N {
		requests <- struct{}{}
	}
	close(requests)
	wait.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(size), "body-B")
}

// reportQueries logs the mean time of each query.
func (h *harness) reportQueries(b *testing.B) {
	b.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	var lines []string
	rows := map[string]float64{}
	label := func(m *dto.Metric) string { return m.GetLabel()[0].GetValue() }
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "drawdown_queryapi_query_read_rows_total" {
				rows[label(m)] = m.GetCounter().GetValue()
			}
		}
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "drawdown_queryapi_query_seconds" {
				n := float64(m.GetHistogram().GetSampleCount())
				lines = append(lines, fmt.Sprintf("%s %.1f ms, %.0f rows", label(m), 1000*m.GetHistogram().GetSampleSum()/n, rows[label(m)]/n))
			}
		}
	}
	b.Log(strings.Join(lines, "; "))
}

func BenchmarkBalance(b *testing.B) {
	benchGet(b, benchHarness(b), "/v1/workspaces/ws_bench/balance")
}

func BenchmarkUsageDaily12Months(b *testing.B) {
	h := benchHarness(b)
	day := h.now.Truncate(24 * time.Hour)
	benchGet(b, h, "/v1/workspaces/ws_bench/usage?bucket=1d&group_by=campaign&from="+
		day.AddDate(-1, 0, 0).Format(time.RFC3339)+"&to="+day.AddDate(0, 0, 1).Format(time.RFC3339))
}

func BenchmarkCampaigns500(b *testing.B) {
	benchGet(b, benchHarness(b), "/v1/workspaces/ws_bench/campaigns?limit=500")
}

func BenchmarkHistoryGrouped(b *testing.B) {
	h := benchHarness(b)
	for _, q := range []string{"", "tz=Asia/Kolkata", "limit=1000", "campaign_id=cmp_7"} {
		b.Run("q="+q, func(b *testing.B) { benchGet(b, h, "/v1/workspaces/ws_bench/history?"+q) })
	}
}

// BenchmarkHistoryEvents has 20 million events in 13 months of parts; a page
// reads the end of each part that its days touch.
func BenchmarkHistoryEvents(b *testing.B) {
	h := benchHarness(b)
	h.exec(fmt.Sprintf(`INSERT INTO events (workspace_id, time, event_id, campaign_id, action, credits_micro)
		SELECT 'ws_bench', toDateTime64(%d, 3, 'UTC') - 1000 - number * 1.6, toString(generateUUIDv7()), concat('cmp_', toString(number %% %d)), 'lead', 1000000
		FROM numbers(20000000)`, h.now.Unix(), benchCampaigns))
	to := h.now.Add(-5 * time.Hour).Format(time.RFC3339)
	for _, q := range []string{"", "to=" + to, "limit=1000&to=" + to, "campaign_id=cmp_7"} {
		b.Run("q="+q, func(b *testing.B) { benchGet(b, h, "/v1/workspaces/ws_bench/history?view=events&"+q) })
	}
}
