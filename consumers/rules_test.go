package consumers

import (
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
)

// These tests say what becomes of a batch that a program with other rules
// began (invariant 4).

func TestConsumerBuildsAnUnwrittenIntentOfOtherRulesWithItsOwn(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	r.consume(r.traffic(1, 500, 0.1)...)
	old := r.consumed("ws_old", "old", "", "a", 1, time.Now().Add(-36*24*time.Hour))
	r.consume(old)
	r.crash("BeforeTheInsert")
	r.limits.Lateness += 2 * 24 * time.Hour // now the old one counts
	r.start()
	r.requireExact()
	if n := r.number(`SELECT count() FROM events WHERE workspace_id = 'ws_old'`); n != 1 {
		t.Errorf("an event that is valid by the rules of today has %d rows", n)
	}
}

func TestConsumerParksAHalfWrittenIntentOfOtherRules(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	topic := r.broker.Topics.Consumption
	r.consume(r.onesIn(1, 300, "id")...)
	r.crash("BetweenInsertAndLedger")
	r.consume(r.onesIn(2, 100, "id")...)
	r.limits.Lateness += 24 * time.Hour
	c := r.start()
	c.requireParked(t, topic, 1, "rules_changed")
	r.waitDoneOf(topic, 2)
	c.mustStop(t)
	r.start(func(c *Config) { c.AcceptRules = true })
	r.requireExact()
}

func TestConsumerFinishesWithTheRulesThatBegan(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.ClickHouse(t))
	topic := r.broker.Topics.Consumption
	r.consume(r.onesIn(1, 300, "id")...)
	r.crash("BetweenInsertAndLedger")
	began := r.limits
	r.limits.Lateness += 24 * time.Hour
	c := r.start()
	c.requireParked(t, topic, 1, "rules_changed")
	c.mustStop(t)
	r.limits = began
	r.start()
	r.requireExact()
}
