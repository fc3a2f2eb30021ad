package aggregator

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics is everything the aggregator measures.
type metrics struct {
	lookSeconds    prometheus.Histogram
	projectSeconds prometheus.Histogram
	evaluated      prometheus.Counter
	projected      prometheus.Counter
	incidents      *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer, a *Aggregator) *metrics {
	buckets := prometheus.ExponentialBuckets(0.005, 2, 14) // to 40 s
	m := &metrics{
		lookSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "drawdown_aggregator_look_seconds", Buckets: buckets,
			Help: "Time of a look at the owned partitions that had something to look at.",
		}),
		projectSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "drawdown_aggregator_project_seconds", Buckets: buckets,
			Help: "Time to project the workspaces of a partition.",
		}),
		evaluated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drawdown_aggregator_evaluated_workspaces_total",
			Help: "Workspaces whose rules were evaluated.",
		}),
		projected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drawdown_aggregator_projected_campaigns_total",
			Help: "Campaigns that were projected.",
		}),
		incidents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drawdown_aggregator_incidents_total",
			Help: "Changes of state of alert incidents that were recorded, by kind of the rule and state.",
		}, []string{"kind", "state"}),
	}
	registerer.MustRegister(m.lookSeconds, m.projectSeconds, m.evaluated, m.projected, m.incidents,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "drawdown_aggregator_partitions",
			Help: "Partitions whose workspaces are looked after.",
		}, func() float64 { return float64(len(a.Owned())) }),
		auditCollector{a.auditor})
	return m
}
