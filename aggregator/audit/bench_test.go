package audit

import (
	"context"
	"testing"

	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// BenchmarkHour compares an hour of a million events of 100 workspaces, with
// 20 campaigns each, in every rollup.
func BenchmarkHour(b *testing.B) {
	r := newRig(b)
	r.exec(`INSERT INTO events (workspace_id, time, event_id, campaign_id, action, credits_micro, content_hash, kafka_time, epoch, kpart, koff)
		SELECT concat('ws_', toString(number % 100)), toDateTime64('2026-11-22 03:00:00', 3, 'UTC') + intDiv(number, 278), toString(number), concat('cmp_', toString(intDiv(number, 100) % 20)), 'a',
		1000000, number, toDateTime64('2026-11-22 03:00:00', 3, 'UTC'), 1, 0, number FROM numbers(1000000)`)
	hour := schemas.Millis(1795316400_000)
	s := span{hour, hour + hourMillis}
	for b.Loop() {
		for i := range rollup.Levels {
			wrong, err := r.compareHours(context.Background(), &rollup.Levels[i], s, nil, maxFindings)
			if err != nil || len(wrong) > 0 {
				b.Fatalf("%v, %v", wrong, err)
			}
		}
	}
}
