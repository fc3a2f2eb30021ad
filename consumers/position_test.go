package consumers

import (
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/internal/storetest"
)

// These tests say where a new owner goes on, and when it refuses to.

func TestConsumerResumesAtTheLedgerWhenTheGroupIsDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.consume(r.traffic(1, 1000, 0.1)...)
	r.consume(r.broken(8)...)
	c := r.start()
	r.requireExact()
	c.mustStop(t)
	r.deleteGroup()
	r.consume(r.traffic(2, 1000, 0.1)...)
	r.start()
	r.requireExact()
}

// TestConsumerVerifiesRowsPastTheLedgerWhenTheGroupIsDeleted: with the group
// its intents are gone, and rows stand that no ledger row speaks of.
func TestConsumerVerifiesRowsPastTheLedgerWhenTheGroupIsDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t, ownEngine(t).Database(t))
	r.consume(r.traffic(1, 1000, 0.1)...)
	r.consume(r.broken(8)...) // last, past every row that is counted
	r.crash("BetweenInsertAndLedger")
	r.deleteGroup()
	r.consume(r.traffic(3, 1000, 0.1)...)
	r.start()
	r.requireExact()
}

func TestConsumerParksOnOffsetsResetToZeroAndResumesFromTheLedger(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	topic := r.broker.Topics.Consumption
	r.consume(r.traffic(1, 1000, 0.1)...)
	c := r.start()
	r.requireExact()
	c.mustStop(t)
	r.commit(topic, 1, 0, "")
	r.consume(r.traffic(2, 500, 0.1)...)
	c = r.start()
	c.requireParked(t, topic, 1, "offset_regression")
	for _, p := range []int{0, 2, 3} {
		r.waitDoneOf(topic, p)
	}
	c.mustStop(t)
	r.start(func(c *Config) { c.ResumeFromLedger = true })
	r.requireExact()
}

func TestConsumerParksOnAGapAfterTheLedgerAndResumesFromIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	topic := r.broker.Topics.Consumption
	r.consume(r.traffic(1, 500, 0.1)...)
	c := r.start()
	r.requireExact()
	r.consume(r.traffic(2, 500, 0.1)...)
	r.requireExact()
	c.mustStop(t)
	r.exec(`DELETE FROM ingest_batches WHERE topic = ? AND kpart = 2 AND first > 0`, topic)
	r.exec(`DELETE FROM ingest_batches WHERE topic = ? AND kpart = 3`, topic)
	r.consume(r.traffic(3, 500, 0.1)...)
	c = r.start()
	c.requireParked(t, topic, 2, "ledger_gap")
	c.requireParked(t, topic, 3, "ledger_gap") // of a ledger without any row as well
	r.waitDoneOf(topic, 0)
	c.mustStop(t)
	r.start(func(c *Config) { c.ResumeFromLedger = true })
	r.requireExact()
}

func TestConsumerParksWhereRetentionOvertookItAndOthersGoOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	topic := r.broker.Topics.Consumption
	r.consume(r.onesIn(0, 50, "old")...)
	r.consume(r.onesIn(1, 50, "old")...)
	c := r.start()
	r.requireExact()
	c.mustStop(t)
	r.consume(r.onesIn(0, 50, "new")...)
	r.consume(r.onesIn(1, 50, "new")...)
	r.deleteRecords(topic, 0, 70)
	c = r.start()
	c.requireParked(t, topic, 0, "log_start")
	r.waitDoneOf(topic, 1)
	if done := r.done(topic, 0); done != 50 {
		t.Errorf("partition 0 is done up to %d, want 50: offsets 50 to 69 are lost", done)
	}
	if n := r.number(`SELECT count() FROM events`); n != 150 {
		t.Errorf("%d events are counted, want 150", n)
	}
}

func TestConsumerGoesOnWhereRetentionTookWhatWasCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	topic := r.broker.Topics.Consumption
	r.consume(r.onesIn(0, 50, "old")...)
	c := r.start()
	r.requireExact()
	c.mustStop(t)
	r.deleteRecords(topic, 0, 50)
	r.consume(r.onesIn(0, 50, "new")...)
	r.consume(r.onesIn(0, 50, "old")...) // again, though Kafka has the first no more
	r.start()
	r.waitDone()
	for table, want := range map[string]uint64{"events": 100, "usage_1m": 100, "usage_15m": 100, "usage_15m_total": 100, "usage_1d": 100} {
		n := "count()"
		if table != "events" {
			n = "toUInt64(sum(events))"
		}
		if got := r.number(`SELECT ` + n + ` FROM ` + table); got != want {
			t.Errorf("%s has %d events, want %d", table, got, want)
		}
	}
}

func TestConsumerParksOnATopicMadeAnewAndGoesOnInTheNextEpoch(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	topic := r.broker.Topics.Consumption
	counted := append(r.onesIn(0, 50, "first"), r.onesIn(1, 50, "first")...)
	r.consume(counted...)
	c := r.start()
	r.requireExact()
	c.mustStop(t)
	r.remakeTopic(topic)
	r.consume(r.onesIn(0, 20, "second")...)  // shorter than the old log
	r.consume(r.onesIn(1, 100, "second")...) // longer
	r.consume(counted[:20]...)               // again
	c = r.start()
	c.requireParked(t, topic, 0, "topic_changed")
	c.requireParked(t, topic, 1, "topic_changed")
	c.mustStop(t)
	r.epoch++
	r.start()
	r.requireExact()
}

// TestConsumerWithEverythingParkedKeepsItsPlace: a member that parks all it
// has must not join again and again, because each time the others stop too.
func TestConsumerWithEverythingParkedKeepsItsPlace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, reason string
		prepare      func(r *rig)
	}{
		{"PartitionCount", "partition_count", func(r *rig) { r.parts = 5 }},
		{"IntentsOfAnotherProgram", "intent_unreadable", func(r *rig) {
			for _, topic := range r.broker.Topics.Inputs() {
				for p := range r.parts {
					r.commit(topic, p, 0, foreign)
				}
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.ClickHouse(t))
			r.consume(r.onesIn(0, 10, "id")...)
			test.prepare(r)
			joins, beats := r.requests(kmsg.JoinGroup), r.requests(kmsg.Heartbeat)
			c := r.start()
			for _, topic := range r.broker.Topics.Inputs() {
				for p := range 4 {
					c.requireParked(t, topic, p, test.reason)
				}
			}
			r.wait("the group goes on", func() bool { return beats.Load() >= 5 || joins.Load() > 3 })
			if n := joins.Load(); n > 3 { // joining takes two requests where the broker gives the id first
				t.Errorf("the consumer has joined %d times", n)
			}
			if c.Ready(t.Context()) == nil {
				t.Error("the consumer says it is ready")
			}
			if n := r.number(`SELECT count() FROM events`); n != 0 {
				t.Errorf("%d events are counted by a parked consumer", n)
			}
			c.mustStop(t)
		})
	}
}

// TestConsumerParksWhatGetsMorePartitions gives a topic more partitions while it
// is consumed, by a consumer that has known its partitions for a while.
func TestConsumerParksWhatGetsMorePartitions(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.consume(r.onesIn(0, 10, "id")...)
	c := r.startDialled(func(c *Consumer) { c.transport.MetadataTTL = time.Hour })
	r.waitDone()
	answer, err := r.client.CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: r.broker.Topics.Ledger, Count: int32(r.parts) + 2}}})
	if err == nil {
		err = answer.Errors[r.broker.Topics.Ledger]
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range r.broker.Topics.Inputs() {
		for p := range r.parts {
			c.requireParked(t, topic, p, "partition_count")
		}
	}
}

// TestConsumerStartsAnEmptyLedgerAtTheStartOfTheLog: what retention took
// before the first start was never promised to anybody.
func TestConsumerStartsAnEmptyLedgerAtTheStartOfTheLog(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	topic := r.broker.Topics.Consumption
	r.consume(r.onesIn(0, 100, "id")...)
	r.deleteRecords(topic, 0, 40)
	c := r.start()
	r.waitDone()
	c.mustStop(t)
	r.consume(r.onesIn(0, 10, "more")...)
	r.start()
	r.waitDone()
	if n := r.number(`SELECT count() FROM events`); n != 70 {
		t.Errorf("%d events are counted, want 70", n)
	}
}

// TestConsumerRebuildsNoMoreThanItsMemoryHolds: a range that is recovered waits
// for the memory of others, what has nothing to recover goes on.
func TestConsumerRebuildsNoMoreThanItsMemoryHolds(t *testing.T) {
	t.Parallel()
	r := newRig(t, ownEngine(t).Database(t))
	topic := r.broker.Topics.Consumption
	r.consume(r.onesIn(1, 300, "id")...)
	r.crash("BeforeTheInsert")
	r.consume(r.onesIn(2, 100, "id")...)
	const memory = 64 << 10 // less than the range of 300 is taken to need
	c := r.startDialled(func(c *Consumer) {
		if err := c.rebuilding.Acquire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}, func(c *Config) { c.BatchBytes = memory })
	r.waitDoneOf(topic, 2)
	if n := r.number(`SELECT count() FROM events WHERE kpart = 1`); n != 0 {
		t.Errorf("%d rows were built again without memory for them", n)
	}
	c.rebuilding.Release(1)
	r.requireExact()
}
