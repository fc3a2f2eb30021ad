package consumers

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/schemas/audits"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// metrics of the stage. Label sets are closed: topics, partitions, tables and
// reasons of parking.
type metrics struct {
	records       *prometheus.CounterVec
	batches       *prometheus.CounterVec
	batchRows     prometheus.Histogram
	insertSeconds *prometheus.HistogramVec
	insertErrors  *prometheus.CounterVec
	repairs       *prometheus.CounterVec
	repaired      *prometheus.CounterVec
	recovered     prometheus.Counter
	parked        *prometheus.GaugeVec
}

func newMetrics(c *Consumer, r prometheus.Registerer) *metrics {
	m := &metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drawdown_consumers_records_total", Help: "Offsets taken in, by what became of them.",
		}, []string{"topic", "outcome"}),
		batches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drawdown_consumers_batches_total", Help: "Batches done.",
		}, []string{"topic"}),
		batchRows: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "drawdown_consumers_batch_rows", Help: "Rows of a batch.", Buckets: prometheus.ExponentialBuckets(1, 4, 10),
		}),
		insertSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "drawdown_consumers_insert_seconds", Help: "Duration of a successful INSERT.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}, []string{"table"}),
		insertErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drawdown_consumers_insert_errors_total", Help: "INSERTs that failed or whose fate is unknown; each is repeated.",
		}, []string{"table"}),
		repairs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drawdown_consumers_repaired_rows_total", Help: "Rows that recovery had to put in or mend.",
		}, []string{"table"}),
		repaired: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drawdown_consumers_repairs_total", Help: "Findings of the audit that were settled, by table and by what became of them.",
		}, []string{"table", "state"}),
		recovered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drawdown_consumers_recovered_batches_total", Help: "Pending batches brought to their end by a new owner.",
		}),
		parked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "drawdown_consumer_parked", Help: "1 for each parked partition.",
		}, []string{"topic", "partition", "reason"}),
	}
	// From 0, or the first of each would be no increase.
	tables := []string{audits.Events, audits.Entries, audits.States, audits.Rejections, audits.Batches}
	for _, l := range rollup.Levels {
		tables = append(tables, l.Table)
	}
	for _, table := range tables {
		for _, state := range []audits.State{audits.Fine, audits.Repaired, audits.Unprovable} {
			m.repaired.WithLabelValues(table, string(state))
		}
	}
	r.MustRegister(m.records, m.batches, m.batchRows, m.insertSeconds, m.insertErrors, m.repairs, m.repaired, m.recovered, m.parked, &lagCollector{c})
	return m
}

// batch counts what became of the records of a batch that is done.
func (m *metrics) batch(p *partition, b *batch) {
	for outcome, n := range map[string]uint64{
		"inserted": b.counted(), "duplicate": b.duplicates, "rejected": uint64(b.rejected.len()),
		"rerouted": uint64(len(b.reroutes)), "skipped": b.skipped,
	} {
		m.records.WithLabelValues(p.topic, outcome).Add(float64(n))
	}
	m.batches.WithLabelValues(p.topic).Inc()
	m.batchRows.Observe(float64(b.counted()))
	p.c.log.Debug("batch done", "partition", p.String(), "offsets", b.String(), "rows", b.counted(),
		"duplicates", b.duplicates, "rejected", b.rejected.len(), "rerouted", len(b.reroutes), "skipped", b.skipped)
}

// lagCollector reads lag and watermark when they are scraped.
type lagCollector struct{ c *Consumer }

var (
	lagDesc = prometheus.NewDesc("drawdown_consumers_lag_records", "Records between the first offset not done and the end of the log.", []string{"topic", "partition"}, nil)
	ageDesc = prometheus.NewDesc("drawdown_consumers_watermark_age_seconds", "Age of the instant before which every record has been counted.", []string{"topic", "partition"}, nil)
)

// Describe implements prometheus.Collector.
func (l *lagCollector) Describe(out chan<- *prometheus.Desc) { out <- lagDesc; out <- ageDesc }

// Collect implements prometheus.Collector.
func (l *lagCollector) Collect(out chan<- prometheus.Metric) {
	for _, p := range l.c.partitions() {
		mark := p.watermark()
		p.mu.Lock()
		lag := p.lag
		p.mu.Unlock()
		id := fmt.Sprint(p.id)
		out <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, float64(max(0, lag)), p.topic, id)
		if !mark.IsZero() {
			out <- prometheus.MustNewConstMetric(ageDesc, prometheus.GaugeValue, l.c.now().Sub(mark).Seconds(), p.topic, id)
		}
	}
}
