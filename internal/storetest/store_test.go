package storetest

import (
	"testing"
	"time"
)

func TestDatabaseIsMigratedAndOfItsOwn(t *testing.T) {
	began := time.Now()
	a := ClickHouse(t)
	t.Logf("first database after %s", time.Since(began))
	began = time.Now()
	b := ClickHouse(t)
	t.Logf("second database after %s", time.Since(began))
	if a.Name == b.Name {
		t.Fatal("two tests share a database")
	}
	var n uint64
	if err := a.Conn(t).QueryRow(t.Context(), "SELECT count() FROM events").Scan(&n); err != nil || n != 0 {
		t.Fatalf("count of a fresh events table: %d, %v", n, err)
	}
}

func TestKafkaHasTheTopics(t *testing.T) {
	b := Kafka(t, KafkaOptions{Partitions: 3})
	if b.Cluster == nil {
		t.Fatal("no control hooks")
	}
}
