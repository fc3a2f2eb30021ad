package consumers

import (
	"testing"

	"github.com/drawdown/drawdown/internal/storetest"
)

func TestConsumerCountsEachDistinctEventOnce(t *testing.T) {
	r := newRig(t, storetest.Kafka(t, storetest.KafkaOptions{}), storetest.ClickHouse(t), 4)
	r.send(r.broker.Topics.Consumption, r.traffic(1, 5000, 0.1)...)
	r.start()
	r.requireExact()
	r.send(r.broker.Topics.Consumption, r.traffic(2, 5000, 0.1)...)
	r.send(r.broker.Topics.Consumption, r.traffic(1, 5000, 0.1)...)
	r.requireExact()
}
