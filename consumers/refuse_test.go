package consumers

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/internal/storetest"
)

// These tests say what becomes of a batch that ClickHouse refuses
// (invariant 8).

// TestConsumerRetriesAMaterializedViewThatThrows: by then raw events and the
// rollups before the broken one are written.
func TestConsumerRetriesAMaterializedViewThatThrows(t *testing.T) {
	t.Parallel()
	for _, view := range []struct{ rollup, source string }{{"usage_1m", "events"}, {"usage_15m", "usage_1m"}, {"usage_15m_total", "usage_15m"}, {"usage_1d", "usage_15m"}} {
		t.Run(view.rollup, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.ClickHouse(t))
			r.retryMost = 200 * time.Millisecond
			c := r.start()
			r.consume(r.traffic(1, 500, 0.1)...)
			r.requireExact()
			made := collect(r, `SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = '`+view.rollup+`_view'`, scalar[string])[0]
			r.exec(`ALTER TABLE ` + view.rollup + `_view MODIFY QUERY SELECT workspace_id,
				toDateTime(0, 'UTC') AS bucket, '' AS campaign_id, '' AS action, toInt128(0) AS credits_micro, toInt128(0) AS refunds_micro,
				toInt64(throwIf(workspace_id != '', 'refused by a test')) AS events FROM ` + view.source)
			r.consume(r.traffic(2, 500, 0.1)...)
			r.wait("inserts fail", func() bool { return c.counter(t, "drawdown_consumers_insert_errors_total") >= 5 })
			if c.Ready(t.Context()) == nil {
				t.Error("the consumer says it is ready")
			}
			r.exec(`ALTER TABLE ` + view.rollup + `_view MODIFY QUERY ` + made)
			r.requireExact()
			r.wait("the consumer is ready", func() bool { return c.Ready(t.Context()) == nil })
		})
	}
}

// TestConsumerParksWhatIsRefusedForEver: the same lasting error twenty times
// parks one partition with its range; when the cause is gone a restart brings
// it to its end.
func TestConsumerParksWhatIsRefusedForEver(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.retryMost = 20 * time.Millisecond
	topic := r.broker.Topics.Consumption
	r.exec(`CREATE MATERIALIZED VIEW refuse ENGINE = Null AS SELECT throwIf(kpart = 1, 'refused by a test') AS x FROM events`)
	r.consume(r.traffic(1, 500, 0.1)...)
	c := r.start()
	c.requireParked(t, topic, 1, "insert_refused")
	if got := c.counter(t, "drawdown_consumers_insert_errors_total"); got < lastingLimit {
		t.Errorf("parked after %v refusals, %d are due", got, lastingLimit)
	}
	for _, p := range []int{0, 2, 3} {
		r.waitDoneOf(topic, p)
	}
	if got := c.counter(t, "drawdown_consumer_parked"); got != 1 {
		t.Errorf("drawdown_consumer_parked adds up to %v, want 1", got)
	}
	if err := c.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "insert_refused") {
		t.Errorf("readiness says %v, want the parked partition", err)
	}
	c.mustStop(t)
	r.exec(`DROP TABLE refuse SYNC`)
	r.start()
	r.requireExact()
}

// TestConsumerWaitsForEverForTooManyParts: overload is never a reason to park.
func TestConsumerWaitsForEverForTooManyParts(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.retryMost = 20 * time.Millisecond
	r.exec(`SYSTEM STOP MERGES usage_15m`)
	c := r.start()
	r.consume(r.onesIn(0, 10, "a")...)
	r.consume(r.onesIn(1, 10, "a")...)
	r.requireExact()
	r.exec(`ALTER TABLE usage_15m MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1`)
	r.consume(r.traffic(1, 500, 0.1)...)
	r.wait("inserts fail more often than a lasting error may", func() bool {
		return c.counter(t, "drawdown_consumers_insert_errors_total") > 6*lastingLimit
	})
	r.exec(`ALTER TABLE usage_15m RESET SETTING parts_to_throw_insert, parts_to_delay_insert`)
	r.exec(`SYSTEM START MERGES usage_15m`)
	r.requireExact()
}

// TestLastingErrorsAreTold from those that time heals.
func TestLastingErrorsAreTold(t *testing.T) {
	for code, lasting := range map[int]bool{
		241: false, 252: false, 202: false, 209: false, 210: false, 242: false, 243: false, 319: false, 999: false,
		60: true, 62: true, 395: true, 47: true, 516: true,
	} {
		native := fmt.Errorf("cannot insert: %w", &ch.Exception{Code: proto.Error(code)})
		driver := fmt.Errorf("cannot read: %w", &clickhouse.Exception{Code: int32(code)})
		for _, err := range []error{native, driver} {
			if got := lastingCode(err); (got != 0) != lasting || lasting && got != code {
				t.Errorf("lastingCode(%v) = %d, lasting is %v", err, got, lasting)
			}
		}
	}
	if code := lastingCode(errors.New("connection reset")); code != 0 {
		t.Errorf("a broken connection has the code %d", code)
	}
}

// counter adds up a metric over its labels.
func (c *consumer) counter(t testing.TB, name string) (sum float64) {
	t.Helper()
	families, err := c.Registerer.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}
