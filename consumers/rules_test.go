package consumers

import (
	"testing"
	"time"
)

// TestConsumerMeetsAnIntentOfOtherRules: what becomes of a batch that a program
// with other rules began (invariant 4).
func TestConsumerMeetsAnIntentOfOtherRules(t *testing.T) {
	t.Parallel()
	engine := ownEngine(t)
	for name, body := range map[string]func(*testing.T, *rig){
		"UnwrittenIsBuiltWithItsOwn":       builtWithItsOwnRules,
		"UnwrittenIsAnnouncedAnew":         announcedUnderItsOwnRules,
		"HalfWrittenParksUntilAccepted":    parkedUntilRulesAreAccepted,
		"HalfWrittenIsFinishedByWhoBegan":  finishedWithTheRulesThatBegan,
		"OtherLimitsThatChangeWhatCounted": parkedWhereAcceptedRulesCountLess,
	} {
		t.Run(name, func(t *testing.T) {
			db := engine.Database(t)
			t.Parallel()
			body(t, newRig(t, db))
		})
	}
}

func builtWithItsOwnRules(t *testing.T, r *rig) {
	r.consume(r.traffic(1, 500, 0.1)...)
	r.consume(r.consumed("ws_old", "old", "", "a", 1, time.Now().Add(-36*24*time.Hour)))
	r.crash("BeforeTheInsert")
	r.limits.Lateness += 2 * 24 * time.Hour // now the old one counts
	r.start()
	r.requireExact()
	if n := r.number(`SELECT count() FROM events WHERE workspace_id = 'ws_old'`); n != 1 {
		t.Errorf("an event that is valid by the rules of today has %d rows", n)
	}
}

// announcedUnderItsOwnRules: a program that is killed after it has built an
// intent of other rules by its own leaves nothing that looks like theirs.
func announcedUnderItsOwnRules(_ *testing.T, r *rig) {
	r.consume(r.traffic(1, 500, 0.1)...)
	r.consume(r.consumed("ws_old", "old", "", "a", 1, time.Now().Add(-36*24*time.Hour)))
	r.crash("BeforeTheInsert")
	r.limits.Lateness += 2 * 24 * time.Hour
	r.crash("BetweenInsertAndLedger")
	r.start()
	r.requireExact()
}

func parkedUntilRulesAreAccepted(t *testing.T, r *rig) {
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

func finishedWithTheRulesThatBegan(t *testing.T, r *rig) {
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

// parkedWhereAcceptedRulesCountLess: what was counted is never taken back, so
// rules by which it would not be cannot finish the batch.
func parkedWhereAcceptedRulesCountLess(t *testing.T, r *rig) {
	topic := r.broker.Topics.Consumption
	r.consume(r.onesIn(1, 100, "id")...)
	r.consume(r.consumed(r.workspaceIn(1), "old", "", "a", 1, time.Now().Add(-34*24*time.Hour)))
	r.crash("BetweenInsertAndLedger")
	began := r.limits
	r.limits.Lateness -= 7 * 24 * time.Hour
	c := r.start(func(c *Config) { c.AcceptRules = true })
	c.requireParked(t, topic, 1, "range_mismatch")
	c.mustStop(t)
	r.limits = began
	r.start()
	r.requireExact()
}
