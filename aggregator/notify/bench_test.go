package notify

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drawdown/drawdown/internal/storetest"
)

// BenchmarkLook is a look at a million incidents of 10,000 workspaces, all of
// which were told long ago: what an installation pays every two seconds.
func BenchmarkLook(b *testing.B) {
	conn := storetest.ClickHouse(b).Conn(b)
	for _, insert := range []string{
		`INSERT INTO alert_incidents (workspace_id, recorded_at, incident_id, state, rule_id, at, message, detail)
		SELECT concat('ws_', toString(number % 10000)), now64(3) - toIntervalSecond(345600 + number), hex(sipHash128(intDiv(number, 20000))), if(intDiv(number, 10000) % 2 = 0, 'firing', 'resolved'), 'default-balance', now64(3), 'ws has 12 credits left', '{"unit":"credits","value":"12"}'
		FROM numbers(1000000)`,
		`INSERT INTO alert_deliveries (workspace_id, webhook_id, incident_id, at, destination, outcome)
		SELECT workspace_id, concat(incident_id, '/', state), incident_id, now64(3), 'https://example.com', 'delivered' FROM alert_incidents`,
	} {
		if err := conn.Exec(b.Context(), insert); err != nil {
			b.Fatal(err)
		}
	}
	n, err := New(Config{
		ClickHouse: conn, Partitions: 12, Owned: func() []int { return []int{0, 1, 2, 3, 4, 5} }, Secret: testMaster,
		Now: time.Now, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := n.step(b.Context(), b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
