package notify

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// stateTest is the state of a message that somebody asked for, to see whether a
// webhook works. It is of no incident: what is asked for are rows of
// alert_deliveries that the query API writes, one per destination, with outcome
// retrying and attempt 0.
const stateTest = "test"

const (
	// testGiveUpAfter is how long somebody waits for a test: one that is found
	// later, because nobody ran, would come as a surprise.
	testGiveUpAfter = 5 * time.Minute
	// maxTests bounds what a step plans, and maxOwnTests those of a workspace:
	// some minutes of what the query API allows of it, at ten webhooks a rule.
	maxTests    = 1_000
	maxOwnTests = 200
)

// test is one that is asked for.
type test struct {
	msg         *message
	ruleVersion uint32 // that was asked about
	destination destination
}

const testsQuery = `
SELECT workspace_id, webhook_id, incident_id, rule_id, argMin(rule_version, (d.at, attempt)), destination, format, min(d.at) AS asked_at
FROM alert_deliveries AS d
WHERE state = 'test' AND d.at >= now64(3, 'UTC') - toIntervalMillisecond({age:Int64})
    AND bitAnd(kafkaMurmurHash(workspace_id), 0x7fffffff) % {partitions:UInt32} IN {owned:Array(UInt32)}
GROUP BY workspace_id, webhook_id, incident_id, rule_id, destination, format
HAVING countIf(outcome != 'retrying') = 0
ORDER BY asked_at
LIMIT {own:UInt32} BY workspace_id
LIMIT {limit:UInt32}`

// What the rules said of which versions tests are asked for. Should there be
// two rows of a version, the first stands, and is read last.
const testedQuery = `
SELECT workspace_id, rule_id, version, revision, kind, name
FROM alert_rules
WHERE workspace_id IN {workspaces:Array(String)} AND rule_id IN {rules:Array(String)} AND version IN {of:Array(UInt32)}
ORDER BY updated_at DESC, updated_by DESC`

// readTests returns the tests that are asked for and not settled.
func (n *Notifier) readTests(ctx context.Context) ([]*test, error) {
	if len(n.owned) == 0 {
		return nil, nil
	}
	bound := parameters{
		"age": fmt.Sprint(lookBack.Milliseconds()), "partitions": fmt.Sprint(n.cfg.Partitions),
		"own": fmt.Sprint(maxOwnTests), "limit": fmt.Sprint(maxTests),
	}
	bound.integers("owned", n.owned)
	var tests []*test
	workspaces, rules, versions := map[string]bool{}, map[string]bool{}, []int{}
	err := n.query(ctx, testsQuery, bound, func(scan func(...any) error) error {
		t, webhookID := test{msg: &message{state: stateTest, detail: `{"test":true}`}}, ""
		if err := scan(&t.msg.workspaceID, &webhookID, &t.msg.incidentID, &t.msg.ruleID, &t.ruleVersion, &t.destination.url, &t.destination.format, &t.msg.at); err != nil {
			return err
		}
		if webhookID != t.msg.webhookID() {
			return nil // not ours, and nothing to hold up alerts for
		}
		t.msg.recordedAt = t.msg.at
		workspaces[t.msg.workspaceID], rules[t.msg.ruleID] = true, true
		versions = append(versions, int(t.ruleVersion))
		tests = append(tests, &t)
		return nil
	})
	if err != nil || len(tests) == 0 {
		return nil, err
	}
	bound = parameters{}
	bound.strings("workspaces", workspaces)
	bound.strings("rules", rules)
	bound.integers("of", versions)
	err = n.query(ctx, testedQuery, bound, func(scan func(...any) error) error {
		var (
			id       ruleKey
			version  uint32
			revision uint32
			kind     string
			name     string
		)
		if err := scan(&id.workspaceID, &id.ruleID, &version, &revision, &kind, &name); err != nil {
			return err
		}
		for _, t := range tests {
			if id == t.ruleKey() && version == t.ruleVersion {
				t.msg.ruleRevision, t.msg.kind = revision, kind
				t.msg.text = fmt.Sprintf("This is a test of alert rule %q. Nothing has happened, and there is nothing to do.", name)
			}
		}
		return nil
	})
	return tests, err
}

func (t *test) ruleKey() ruleKey { return ruleKey{t.msg.workspaceID, t.msg.ruleID} }

// addTest plans a test: one attempt, also of a rule that is silenced or
// disabled, because somebody waits for it.
func (p *plan) addTest(t *test) {
	k := t.msg.key(t.destination)
	if p.busy[k] || p.state.progress[k].outcome != "" {
		return
	}
	r := p.state.rules[t.ruleKey()]
	outcome, why := "", ""
	switch {
	case r == nil || r.deleted:
		outcome, why = outcomeDisabled, "the rule is deleted"
	case !slices.Contains(r.destinations, t.destination):
		outcome, why = outcomeDisabled, "the rule names it no longer"
	case p.state.gone[t.ruleKey()][t.destination] == r.version:
		outcome, why = outcomeDisabled, "it answered 410 before; write the rule anew to try again"
	case !p.now.Before(t.msg.recordedAt.Add(testGiveUpAfter)):
		outcome, why = outcomeFailed, "not sent within five minutes; ask again"
	}
	d := delivery{key: k, msg: t.msg, rule: r}
	if outcome != "" {
		p.settled = append(p.settled, entry{delivery: d, at: p.now, outcome: outcome, reason: why})
		return
	}
	d.attempt = 1
	p.due = append(p.due, d)
}
