package consumers

import (
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

// astray puts records into another partition than theirs, as a producer with
// another partitioner does.
func (r *rig) astray(records ...sent) []sent {
	for i := range records {
		records[i].partition = (records[i].partition + 1 + i%(r.parts-1)) % r.parts
	}
	return records
}

func TestConsumerReroutesAMisroutedRecordOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	right := r.traffic(1, 300, 0)
	wrong := r.astray(r.traffic(2, 300, 0.1)...)
	both := r.traffic(3, 100, 0)
	r.consume(right...)
	r.consume(wrong...)
	r.consume(both...)
	r.consume(r.astray(both...)...)
	r.start()
	r.requireExact()
	if n := r.number(`SELECT sum(rerouted) FROM ingest_batches`); n < 400 {
		t.Errorf("%d records are rerouted, want at least 400", n)
	}
	if n := r.number(`SELECT count() FROM events`); n != 700 {
		t.Errorf("%d events are counted, want 700", n)
	}
}

// TestConsumerReroutesAgainOnReplayAndCountsOnce: the acknowledged copies of
// the first try are found as duplicates where they belong.
func TestConsumerReroutesAgainOnReplayAndCountsOnce(t *testing.T) {
	t.Parallel()
	engine := ownEngine(t)
	for _, step := range []string{"BeforeTheInsert", "BetweenInsertAndLedger"} {
		t.Run(step, func(t *testing.T) {
			db := engine.Database(t)
			t.Parallel()
			r := newRig(t, db)
			r.consume(r.traffic(1, 200, 0)...)
			r.consume(r.astray(r.traffic(2, 200, 0)...)...)
			r.crash(step)
			r.start()
			r.requireExact()
			if n := r.number(`SELECT count() FROM events`); n != 400 {
				t.Errorf("%d events are counted, want 400", n)
			}
		})
	}
}

// TestConsumerJudgesAReroutedRecordByItsFirstArrival: its new timestamp would
// make an old event too late, and a future one valid.
func TestConsumerJudgesAReroutedRecordByItsFirstArrival(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	at := time.Now().Add(-100 * 24 * time.Hour)
	inTime := r.consumed("ws_1", "in-time", "", "a", 1, at)
	inTime.time = at.Add(time.Hour)
	future := r.consumed("ws_2", "future", "", "a", 1, at)
	future.time = at.Add(-time.Hour)
	late := r.consumed("ws_3", "late", "", "a", 1, at.Add(-50*24*time.Hour))
	late.time = at
	r.consume(r.astray(inTime, future, late)...)
	r.start()
	r.requireExact()
	if n := r.number(`SELECT count() FROM events`); n != 1 {
		t.Errorf("%d events are counted, want the one in time", n)
	}
	for code, id := range map[string]string{"in_future": "ws_2", "too_late": "ws_3"} {
		if n := r.number(`SELECT count() FROM rejections WHERE code = ? AND workspace_id = ?`, code, id); n != 1 {
			t.Errorf("%d rejections of %s for %s, want 1", n, id, code)
		}
	}
}

func TestConsumerRejectsWhatIsMisroutedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.epoch = 2
	origin := func(epoch uint32) []kafka.Header {
		o := schemas.Origin{Topic: r.broker.Topics.Consumption, Partition: 3, Offset: 7, Epoch: epoch, Timestamp: schemas.MillisOf(time.Now())}
		return []kafka.Header{{Key: schemas.OriginHeader, Value: []byte(o.String())}}
	}
	again, before := r.one("ws_1", "again"), r.one("ws_2", "before")
	again.headers = origin(2)
	before.headers = origin(1) // of an epoch with other partitions: moved on
	r.consume(r.astray(again, before)...)
	r.start()
	r.requireExact()
	if n := r.number(`SELECT count() FROM rejections WHERE code = 'misrouted' AND workspace_id = 'ws_1'`); n != 1 {
		t.Errorf("%d rejections as misrouted, want 1", n)
	}
	if n := r.number(`SELECT count() FROM events WHERE workspace_id = 'ws_2'`); n != 1 {
		t.Errorf("a record moved in an earlier epoch has %d rows, want 1", n)
	}
}

// TestConsumerParksWhenKafkaRefusesAReroute: nothing of the batch is inserted,
// and when Kafka takes it everything is counted once.
func TestConsumerParksWhenKafkaRefusesAReroute(t *testing.T) {
	t.Parallel()
	for _, err := range []*kerr.Error{kerr.MessageTooLarge, kerr.TopicAuthorizationFailed, kerr.InvalidTimestamp} {
		t.Run(fmt.Sprintf("%d_%s", err.Code, err.Message), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.ClickHouse(t))
			topic := r.broker.Topics.Consumption
			wrong := r.one(r.workspaceIn(1), "wrong")
			wrong.partition = 0
			r.consume(r.onesIn(0, 10, "right")...)
			r.consume(wrong)
			r.consume(r.onesIn(2, 10, "right")...)
			refused := r.broker.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: -1})
			c := r.start()
			c.requireParked(t, topic, 0, "reroute_refused")
			r.waitDoneOf(topic, 2)
			if n := r.number(`SELECT count() FROM events WHERE kpart = 0`); n != 0 {
				t.Errorf("%d events of the batch are inserted before its reroute is acknowledged", n)
			}
			c.mustStop(t)
			refused.Remove()
			r.start()
			r.requireExact()
		})
	}
}

// TestConsumerRetriesAReroute that fails for a moment.
func TestConsumerRetriesAReroute(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.consume(r.astray(r.traffic(1, 100, 0)...)...)
	r.broker.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: 3})
	// kfake appends what it answers with a timeout, as Kafka may.
	r.broker.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 3})
	r.start()
	r.requireExact()
}
