package consumers

import (
	"testing"

	"github.com/drawdown/drawdown/internal/storetest"
)

func TestConsumerCountsEachDistinctEventOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.consume(r.traffic(1, 5000, 0.1)...)
	r.start()
	r.requireExact()
	r.consume(r.traffic(2, 5000, 0.1)...)
	r.consume(r.traffic(1, 5000, 0.1)...)
	r.requireExact()
}
