package main

import (
	"log/slog"
	"testing"

	"github.com/drawdown/drawdown/internal/storetest"
)

// TestServePlacesWorkspacesAsTheTopicsDo while consumers have recorded a part of
// the partitions: by fewer, a workspace's freshness would be another one's.
func TestServePlacesWorkspacesAsTheTopicsDo(t *testing.T) {
	database := storetest.ClickHouse(t)
	broker := storetest.Kafka(t, storetest.KafkaOptions{Partitions: 6})
	err := database.Conn(t).Exec(t.Context(), `INSERT INTO ingest_progress (topic, epoch, kpart, next_offset, watermark, at)
		SELECT 'credits.consumption', 1, number, 0, now64(3), now64(3) FROM numbers(2)`)
	if err != nil {
		t.Fatal(err)
	}
	n := network{
		topics: broker.Topics, database: database.Name,
		clickhouse: clickhouseAccess{Addr: database.Addr, User: database.User, Password: database.Password},
	}
	e := &env{Log: slog.New(slog.DiscardHandler)}
	for _, at := range []struct {
		name       string
		brokers    []string
		configured int
		want       int
	}{
		{"of the topics", []string{broker.Addr}, 0, 6},
		{"without Kafka, what is recorded", nil, 0, 2},
		{"configured", nil, 6, 6},
	} {
		n.brokers, n.partitions = at.brokers, at.configured
		if got, err := placedBy(t.Context(), e, n, 1); err != nil || got != at.want {
			t.Errorf("%s: %d partitions, want %d: %v", at.name, got, at.want, err)
		}
	}
}
