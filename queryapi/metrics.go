package queryapi

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/schemas"
)

// latencyBuckets spans a 304 and the request timeout.
var latencyBuckets = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20}

// metrics is everything the API measures, and how its health is known.
type metrics struct {
	requestSeconds *prometheus.HistogramVec
	querySeconds   *prometheus.HistogramVec
	queryReadRows  *prometheus.CounterVec
	writtenRecords *prometheus.CounterVec

	now        func() time.Time
	inFlight   atomic.Int64
	progressAt atomic.Int64 // Unix nanoseconds: last time a query ended, or began with none in flight
}

func newMetrics(registerer prometheus.Registerer, now func() time.Time) *metrics {
	m := &metrics{
		now: now,
		requestSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "drawdown_queryapi_request_seconds",
			Help:    "Time to answer a request, by route pattern, method and status.",
			Buckets: latencyBuckets,
		}, []string{"route", "method", "status"}),
		querySeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "drawdown_queryapi_query_seconds",
			Help:    "Time of a ClickHouse query until its last row, by query and result.",
			Buckets: latencyBuckets,
		}, []string{"query", "result"}),
		queryReadRows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drawdown_queryapi_query_read_rows_total",
			Help: "Rows that ClickHouse read, by query.",
		}, []string{"query"}),
		writtenRecords: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drawdown_queryapi_written_records_total",
			Help: "Records sent to be written, by topic role and what became of them.",
		}, []string{"role", "status"}),
	}
	registerer.MustRegister(m.requestSeconds, m.querySeconds, m.queryReadRows, m.writtenRecords,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "drawdown_queryapi_queries_in_flight",
			Help: "ClickHouse queries that have begun and not ended.",
		}, func() float64 { return float64(m.inFlight.Load()) }))
	return m
}

// written counts records that were sent to be written.
func (m *metrics) written(role schemas.Topic, status string, n int) {
	if n > 0 {
		m.writtenRecords.WithLabelValues(string(role), status).Add(float64(n))
	}
}

// observe measures each request under its route pattern.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wrapped := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		begin := time.Now()
		defer func() {
			route, method := "unmatched", r.Method
			if rctx := chi.RouteContext(r.Context()); rctx != nil && rctx.RoutePattern() != "" {
				route = rctx.RoutePattern()
			}
			if !slices.Contains(methods, method) {
				method = "other"
			}
			status := strconv.Itoa(max(wrapped.Status(), http.StatusOK))
			s.metrics.requestSeconds.WithLabelValues(route, method, status).Observe(time.Since(begin).Seconds())
		}()
		next.ServeHTTP(wrapped, r)
	})
}

// stuckAfter is three times the longest a query may take.
const stuckAfter = time.Minute

// stuck is an error if queries are in flight and none has ended for stuckAfter.
func (m *metrics) stuck() error {
	inFlight, idle := m.inFlight.Load(), m.now().Sub(time.Unix(0, m.progressAt.Load()))
	if inFlight > 0 && idle > stuckAfter {
		return fmt.Errorf("%d queries in flight and none has ended for %v", inFlight, idle.Round(time.Second))
	}
	return nil
}

// queryTimeout bounds one query. The driver makes max_execution_time of it, but
// cancels the query first.
const queryTimeout = requestTimeout / 2

// querySettings bound what one query may take: ten times the rows of the
// largest sum foreseen (a year of 500 campaigns by quarter of an hour is 17.5
// million).
var querySettings = clickhouse.Settings{
	"max_rows_to_read":       200_000_000,
	"read_overflow_mode":     "throw",
	"max_threads":            2,
	"max_memory_usage":       2 << 30,
	"optimize_read_in_order": 1,
	// A replica that is further behind is asked only if all are: see held.
	"max_replica_delay_for_distributed_queries": settleMillis / 1000,
}

// crowd is from how many queries in flight on each has one thread: the others
// have use for the rest, and two that split one read cost more than one.
const crowd = 3

// settingsFor are querySettings while so many queries are in flight.
func settingsFor(inFlight int64) clickhouse.Settings {
	if inFlight < crowd {
		return querySettings
	}
	settings := maps.Clone(querySettings)
	settings["max_threads"] = 1
	return settings
}

// query runs a statement with bound parameters and calls scan for each row;
// name labels it in metrics and errors.
func (s *Server) query(ctx context.Context, name, statement string, bound parameters, scan func(scan func(...any) error) error) (err error) {
	if s.metrics.inFlight.Add(1) == 1 {
		s.metrics.progressAt.Store(s.metrics.now().UnixNano())
	}
	begin := time.Now()
	defer func() {
		s.metrics.inFlight.Add(-1)
		s.metrics.progressAt.Store(s.metrics.now().UnixNano())
		result := "ok"
		if err != nil {
			result = "error"
			err = fmt.Errorf("cannot query %s: %w", name, err)
		}
		s.metrics.querySeconds.WithLabelValues(name, result).Observe(time.Since(begin).Seconds())
	}()
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	ctx = clickhouse.Context(ctx,
		clickhouse.WithParameters(clickhouse.Parameters(bound)),
		clickhouse.WithSettings(settingsFor(s.metrics.inFlight.Load())),
		clickhouse.WithProgress(func(p *clickhouse.Progress) {
			s.metrics.queryReadRows.WithLabelValues(name).Add(float64(p.Rows))
		}))
	return schemas.EachRow(ctx, s.cfg.ClickHouse, statement, scan)
}
