package notify

import "github.com/prometheus/client_golang/prometheus"

// metrics of the deliveries. Label sets are closed: outcomes and formats.
type metrics struct {
	deliveries *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	oldest     prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drawdown_aggregator_deliveries_total", Help: "Attempts to deliver an alert, by what became of them.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "drawdown_aggregator_delivery_seconds", Help: "Duration of an attempt.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}, []string{"format"}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "drawdown_aggregator_oldest_undelivered_seconds", Help: "Age of the oldest alert that a destination still waits for; 0: none does.",
		}),
	}
	for _, outcome := range []string{outcomeDelivered, outcomeRetrying, outcomeFailed, outcomeRefused, outcomeDisabled, outcomeSilenced} {
		m.deliveries.WithLabelValues(outcome) // a rate needs the 0 before the first
	}
	r.MustRegister(m.deliveries, m.seconds, m.oldest)
	return m
}
