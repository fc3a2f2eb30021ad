package aggregator_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// pass lets time go by, with the watermark.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	r.mu.Lock()
	r.now = r.now.Add(d)
	r.mu.Unlock()
	r.counted()
}

// states are the recorded states of a rule's incidents of a workspace, in the
// order in which they were reached, and how often each.
func (r *rig) states(workspace, rule string) (states []string) {
	r.t.Helper()
	rows, err := r.conn.Query(context.Background(),
		"SELECT subject, sequence, state FROM alert_incidents WHERE workspace_id = ? AND rule_id = ? ORDER BY subject, sequence, at, state = 'resolved'", workspace, rule)
	if err != nil {
		r.t.Fatal(err)
	}
	for rows.Next() {
		var subject, state string
		var sequence uint32
		if err := rows.Scan(&subject, &sequence, &state); err != nil {
			r.t.Fatal(err)
		}
		states = append(states, fmt.Sprintf("%s%d %s", subject, sequence, state))
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	return states
}

func (r *rig) rule(workspace, id string, version, revision uint32, kind schemas.AlertKind, enabled bool, params string) {
	r.t.Helper()
	r.exec(`INSERT INTO alert_rules (workspace_id, rule_id, version, revision, kind, name, enabled, deleted, params, webhooks, secret_version, updated_at, updated_by)
		VALUES (?, ?, ?, ?, ?, 'A rule', ?, 0, ?, '[]', 1, ?, 'somebody')`, workspace, id, version, revision, string(kind), enabled, params, r.clock())
}

// TestEachCrossingIsRecordedOnce: with two evaluators that do not know of each
// other, one of which is stopped and started again, every change of state of an
// incident stands once.
func TestEachCrossingIsRecordedOnce(t *testing.T) {
	r := newRig(t)
	begin := r.clock().AddDate(0, 0, -1).Truncate(time.Minute)
	r.grant("ws_a", "g1", 1000_000_000, begin, nil)
	r.insert(event{"ws_a", "cmp_1", begin.Add(time.Hour), 850_000_000})
	r.counted()
	_, stop := r.startIn("first")
	r.startIn("second")
	want := func(rule string, states ...string) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s %q", rule, states), func() bool { return fmt.Sprint(r.states("ws_a", rule)) == fmt.Sprint(states) })
	}
	eventually(t, "a projection", func() bool { return len(r.projections("ws_a")) > 0 })
	want("default-balance")

	r.insert(event{"ws_a", "cmp_1", r.clock().Add(-time.Second), 60_000_000})
	r.pass(time.Second)
	want("default-balance", "1 firing")
	stop()
	r.grant("ws_a", "g2", 1000_000_000, r.clock().Truncate(time.Minute), nil)
	r.startIn("first")
	eventually(t, "the end of it", func() bool { // it has to be over for five minutes
		r.pass(20 * time.Second)
		return fmt.Sprint(r.states("ws_a", "default-balance")) == "[1 firing 1 resolved]"
	})
	r.insert(event{"ws_a", "cmp_1", r.clock().Add(-time.Second), 1000_000_000})
	r.pass(time.Minute)
	want("default-balance", "1 firing", "1 resolved", "2 firing")
	want("default-exhausted")
	r.insert(event{"ws_a", "cmp_1", r.clock().Add(-time.Second), 90_000_000})
	r.pass(time.Second)
	want("default-exhausted", "1 firing")
}

// TestRulesAreTakenAsTheyAreWritten: a rule is evaluated from when it is
// written, and ends its incidents when it is switched off.
func TestRulesAreTakenAsTheyAreWritten(t *testing.T) {
	r := newRig(t)
	begin := r.clock().AddDate(0, 0, -1).Truncate(time.Minute)
	quota := int64(100_000_000)
	r.grant("ws_a", "g1", 1000_000_000, begin, nil)
	r.campaign("ws_a", "cmp_1", "ACTIVE", begin, &quota, nil)
	r.campaign("ws_a", "cmp_2", "ACTIVE", begin, &quota, nil)
	r.insert(event{"ws_a", "cmp_1", begin.Add(time.Hour), 60_000_000}, event{"ws_a", "cmp_2", begin.Add(time.Hour), 40_000_000})
	r.counted()
	r.start()
	eventually(t, "a projection", func() bool { return len(r.projections("ws_a")) > 0 })
	r.rule("ws_a", "mine", 1, 1, schemas.QuotaUsed, true, `{"percent":50}`)
	eventually(t, "the rule", func() bool {
		r.pass(time.Second) // time goes on
		return fmt.Sprint(r.states("ws_a", "mine")) == "[cmp_11 firing]"
	})
	r.insert(event{"ws_a", "cmp_2", r.clock().Add(-time.Second), 20_000_000})
	eventually(t, "the other campaign", func() bool {
		r.pass(10 * time.Second)
		return fmt.Sprint(r.states("ws_a", "mine")) == "[cmp_11 firing cmp_21 firing]"
	})
	r.rule("ws_a", "mine", 2, 1, schemas.QuotaUsed, false, `{"percent":50}`)
	eventually(t, "the end of the rule", func() bool {
		r.pass(time.Second)
		return fmt.Sprint(r.states("ws_a", "mine")) == "[cmp_11 firing cmp_11 resolved cmp_21 firing cmp_21 resolved]"
	})
}

// TestAWatermarkThatStandsStillIsOneAlert, and nothing else is evaluated.
func TestAWatermarkThatStandsStillIsOneAlert(t *testing.T) {
	r := newRig(t)
	r.grant("ws_a", "g1", 1000_000_000, r.clock().AddDate(0, 0, -1).Truncate(time.Minute), nil)
	r.insert(event{"ws_a", "cmp_1", r.clock().Add(-time.Hour), 10_000_000})
	r.counted()
	r.start()
	eventually(t, "a projection", func() bool { return len(r.projections("ws_a")) > 0 })
	r.pass(time.Second)
	eventually(t, "the alert", func() bool {
		r.mu.Lock()
		r.now = r.now.Add(10 * time.Second) // without the watermark
		r.mu.Unlock()
		return fmt.Sprint(r.states("ws_a", schemas.FreshnessRuleID)) == "[1 firing]"
	})
	if got := r.states("ws_a", "default-balance"); len(got) > 0 {
		t.Errorf("%q", got)
	}
	r.insert(event{"ws_a", "cmp_1", r.clock().Add(-time.Minute), 985_000_000})
	eventually(t, "the end of it", func() bool {
		r.pass(time.Minute)
		return fmt.Sprint(r.states("ws_a", schemas.FreshnessRuleID)) == "[1 firing 1 resolved]"
	})
	if got := fmt.Sprint(r.states("ws_a", "default-balance")); got != "[1 firing]" {
		t.Errorf("%s", got)
	}
}

// TestWhatComesSoonAfterALookIsLookedAt: what campaigns used is not read at
// every look, but a look that did without is followed by one that does not,
// though nothing more is counted and the watermark stands.
func TestWhatComesSoonAfterALookIsLookedAt(t *testing.T) {
	r := newRig(t)
	begin := r.clock().AddDate(0, 0, -1).Truncate(time.Minute)
	quota := int64(100_000_000)
	r.grant("ws_a", "g1", 1000_000_000, begin, nil)
	r.campaign("ws_a", "cmp_1", "ACTIVE", begin, &quota, nil)
	r.rule("ws_a", "mine", 1, 1, schemas.QuotaUsed, true, `{"percent":50}`)
	r.rule("ws_a", "look", 1, 1, schemas.BalanceBelow, true, `{"credits":900}`)
	r.insert(event{"ws_a", "cmp_1", begin.Add(time.Hour), 40_000_000})
	r.counted()
	r.start()
	eventually(t, "a projection", func() bool { return len(r.projections("ws_a")) > 0 })
	r.pass(time.Second)
	r.insert(event{"ws_a", "", r.clock().Add(-time.Second), 50_000_000}, event{"ws_a", "cmp_1", r.clock().Add(-time.Second), 20_000_000})
	r.counted()
	eventually(t, "a look", func() bool { return fmt.Sprint(r.states("ws_a", "look")) == "[1 firing]" })
	r.mu.Lock()
	r.now = r.now.Add(6 * time.Second)
	r.mu.Unlock()
	eventually(t, "the alert", func() bool { return fmt.Sprint(r.states("ws_a", "mine")) == "[cmp_11 firing]" })
}

// TestAGrantThatIsInForceCounts although the watermark has not reached it yet:
// what is used of it is counted already.
func TestAGrantThatIsInForceCounts(t *testing.T) {
	r := newRig(t)
	begin := r.clock().AddDate(0, 0, -1).Truncate(time.Minute)
	r.grant("ws_a", "g1", 1000_000_000, begin, nil)
	r.insert(event{"ws_a", "cmp_1", begin.Add(time.Hour), 850_000_000})
	r.counted()
	r.start()
	eventually(t, "a projection", func() bool { return len(r.projections("ws_a")) > 0 })
	// Half a minute before the watermark gets there.
	now := r.clock().Add(40 * time.Second)
	r.grant("ws_a", "g2", 1000_000_000, now.Truncate(time.Minute), nil)
	r.insert(event{"ws_a", "cmp_1", now.Add(-time.Second), 500_000_000})
	r.rule("ws_a", "mine", 1, 1, schemas.BalanceBelow, true, `{"credits":"1000000"}`)
	r.mu.Lock()
	r.now = now
	r.mu.Unlock()
	r.countedTo(now.Add(-30 * time.Second))
	eventually(t, "a look", func() bool { return fmt.Sprint(r.states("ws_a", "mine")) == "[1 firing]" })
	var detail string
	if err := r.conn.QueryRow(t.Context(), "SELECT detail FROM alert_incidents WHERE rule_id = 'mine'").Scan(&detail); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(detail, `"remaining":"650"`) {
		t.Errorf("%s", detail)
	}
	if got := r.states("ws_a", "default-balance"); len(got) > 0 {
		t.Errorf("told although a grant covers it: %q", got)
	}
}

// TestNothingIsWrittenOnceTheGenerationHasEnded: of three incidents that begin
// at once the first is under way when the aggregator stops. It is recorded, the
// others are the next owner's, and so are the projections.
func TestNothingIsWrittenOnceTheGenerationHasEnded(t *testing.T) {
	r := newRig(t)
	var under atomic.Bool
	r.before = func(statement string) error {
		if strings.Contains(statement, "INSERT INTO alert_incidents") && under.CompareAndSwap(false, true) {
			<-r.stopping
		}
		return nil
	}
	r.grant("ws_a", "g1", 1000_000_000, r.clock().AddDate(0, 0, -1).Truncate(time.Minute), nil)
	r.insert(event{"ws_a", "cmp_1", r.clock().Add(-time.Hour), 1_000_000})
	for _, id := range []string{"one", "two", "three"} {
		r.rule("ws_a", id, 1, 1, schemas.BalanceBelow, true, `{"credits":"1000000"}`)
	}
	r.counted()
	_, stop := r.start()
	eventually(t, "an INSERT", under.Load)
	stop()
	if got := r.count("alert_incidents"); got != 1 {
		t.Errorf("%d incidents were recorded, want the one that was under way", got)
	}
	if got := r.count("campaign_projections"); got != 0 {
		t.Errorf("%d projections were written", got)
	}
	r.start()
	for _, id := range []string{"one", "two", "three"} {
		eventually(t, id, func() bool { return fmt.Sprint(r.states("ws_a", id)) == "[1 firing]" })
	}
}

// count is how many rows a table has.
func (r *rig) count(table string) (rows uint64) {
	r.t.Helper()
	if err := r.conn.QueryRow(context.Background(), "SELECT count() FROM "+table).Scan(&rows); err != nil {
		r.t.Fatal(err)
	}
	return rows
}
