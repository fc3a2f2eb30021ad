package aggregator

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/aggregator/audit"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/audits"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// auditCollector tells how the audit stands, where it is at work: of all
// aggregators one audits.
type auditCollector struct{ auditor *audit.Auditor }

var (
	auditDriftDesc = prometheus.NewDesc("drawdown_aggregator_audit_drift",
		"Places where a table differs from what it must hold, which were not repaired yet; must be 0.", []string{"table"}, nil)
	auditUnprovableDesc = prometheus.NewDesc("drawdown_aggregator_audit_unprovable",
		"Places where a table differs and what is right is not known any more.", []string{"table"}, nil)
	auditSealedDesc = prometheus.NewDesc("drawdown_aggregator_audit_sealed_through_seconds",
		"End of the last hour of event time before which all were audited, in seconds since 1970.", nil, nil)
	auditProvableDesc = prometheus.NewDesc("drawdown_aggregator_audit_provable_from_seconds",
		"Start of the first hour of event time that can be proven, in seconds since 1970.", nil, nil)
	auditCycleDesc = prometheus.NewDesc("drawdown_aggregator_audit_cycle_seconds",
		"Time that the last cycle of the audit took.", nil, nil)
	auditCyclesDesc = prometheus.NewDesc("drawdown_aggregator_audit_cycles_total",
		"Cycles of the audit that ended, whoever ran them.", nil, nil)
)

// auditTables are the values of the label table.
func auditTables() []string {
	tables := []string{audits.Events, audits.Entries, audits.States, audits.Rejections, audits.Batches}
	for _, l := range rollup.Levels {
		tables = append(tables, l.Table)
	}
	return tables
}

// Describe implements prometheus.Collector.
func (auditCollector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{auditDriftDesc, auditUnprovableDesc, auditSealedDesc, auditProvableDesc, auditCycleDesc, auditCyclesDesc} {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (c auditCollector) Collect(out chan<- prometheus.Metric) {
	s := c.auditor.Status()
	if !s.Active {
		return
	}
	gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
	}
	for _, table := range auditTables() {
		gauge(auditDriftDesc, float64(s.Drift[table]), table)
		gauge(auditUnprovableDesc, float64(s.Unprovable[table]), table)
	}
	if s.SealedThrough != schemas.NoInstant {
		gauge(auditSealedDesc, float64(s.SealedThrough)/1000)
	}
	if s.ProvableFrom != schemas.NoInstant {
		gauge(auditProvableDesc, float64(s.ProvableFrom)/1000)
	}
	gauge(auditCycleDesc, s.CycleSeconds)
	out <- prometheus.MustNewConstMetric(auditCyclesDesc, prometheus.CounterValue, float64(s.Cycles))
}
