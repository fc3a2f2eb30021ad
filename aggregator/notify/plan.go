package notify

import (
	"slices"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// formatTopic is the format of a destination that is the topic; the others are
// those of schemas.AlertFormat.
const formatTopic = "topic"

// What became of an attempt. All but retrying settle a message.
const (
	outcomeDelivered = "delivered"
	outcomeRetrying  = "retrying"
	outcomeFailed    = "failed"
	outcomeRefused   = "refused"
	outcomeDisabled  = "disabled"
	outcomeSilenced  = "silenced"
)

// The states of which somebody is told.
const (
	stateFiring   = string(schemas.AlertFiring)
	stateResolved = string(schemas.AlertResolved)
)

// giveUpAfter is how long a message is tried: the day of DESIGN section 8.
const giveUpAfter = 24 * time.Hour

type incidentKey struct{ workspaceID, incidentID string }

// incident is what is to be told.
type incident struct {
	incidentKey
	firing   *message // nil: it never fired, and nobody is told anything
	resolved *message
}

// message is a row of alert_incidents, or a test.
type message struct {
	incidentKey
	state        string
	ruleID       string
	ruleRevision uint32
	kind         string
	subject      string
	at           time.Time
	recordedAt   time.Time
	text         string
	detail       string
}

// webhookID names a message however often it is sent.
func (m *message) webhookID() string { return m.incidentID + "/" + m.state }

type destination struct{ url, format string }

// key is a message at a destination.
type key struct {
	workspaceID, webhookID string
	destination
}

func (m *message) key(d destination) key { return key{m.workspaceID, m.webhookID(), d} }

// progress is what was done about a key.
type progress struct {
	attempts uint16
	outcome  string    // that settled it; empty: none has
	nextAt   time.Time // zero: nothing was tried
	at       time.Time // of the last attempt
}

type ruleKey struct{ workspaceID, ruleID string }

// rule is what the latest version of a rule says, and since when.
type rule struct {
	version         uint32
	live            bool // enabled and not deleted
	deleted         bool
	destinations    []destination
	since           map[destination]time.Time // named without a break from there
	unbroken        []destination             // named in every version read so far
	secretVersion   uint32
	secretRotatedAt *time.Time
	silencedUntil   *time.Time
}

// state is what the tables say about some incidents.
type state struct {
	rules    map[ruleKey]*rule
	progress map[key]progress
	tried    map[incidentKey][]destination // where something is to be tried again
	// gone are destinations that answered 410, with the version of the rule
	// for which they did.
	gone map[ruleKey]map[destination]uint32
}

// delivery is an attempt that is due.
type delivery struct {
	key
	msg     *message
	rule    *rule // nil: for the topic
	attempt uint16
	turn    int // among those of its workspace that are due
}

// plan decides what is to be done about incidents at an instant. It does no
// I/O.
type plan struct {
	now   time.Time
	busy  map[key]bool
	state *state
	topic *destination

	due     []delivery
	settled []entry // without sending anything
	oldest  time.Duration
}

// add plans an incident and says whether nothing more is to be done for it.
func (p *plan) add(i *incident) bool {
	if i.firing == nil {
		return true
	}
	done := true
	for _, d := range p.destinationsOf(i) {
		if !p.concerns(i, d) {
			continue
		}
		for _, m := range []*message{i.firing, i.resolved} {
			if m == nil || p.state.progress[m.key(d)].outcome != "" {
				continue
			}
			if !p.settle(i, m, d) {
				done = false
				p.oldest = max(p.oldest, p.now.Sub(m.recordedAt))
				break // resolved waits for firing (invariant 2)
			}
		}
	}
	return done
}

// destinationsOf returns the topic, what the rule names, and what was tried and
// is no longer named.
func (p *plan) destinationsOf(i *incident) []destination {
	var all []destination
	if p.topic != nil {
		all = append(all, *p.topic)
	}
	if r := p.state.rules[i.ruleKey()]; r != nil {
		all = append(all, r.destinations...)
	}
	for _, d := range p.state.tried[i.incidentKey] {
		if !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	return all
}

func (i *incident) ruleKey() ruleKey { return ruleKey{i.workspaceID, i.firing.ruleID} }

// concerns says whether a destination is told of an incident: if it was named
// when that fired, has been told, or is named while it still fires.
func (p *plan) concerns(i *incident, d destination) bool {
	if d.format == formatTopic {
		return true
	}
	if told := p.state.progress[i.firing.key(d)]; told.outcome != "" || told.attempts > 0 {
		return true
	}
	since, named := p.state.rules[i.ruleKey()].since[d]
	late := since.After(i.firing.recordedAt)
	return named && (!late || i.resolved == nil && p.now.Before(i.firing.recordedAt.Add(giveUpAfter)))
}

// settle decides about a message at a destination where it is not settled, and
// says whether it is now.
func (p *plan) settle(i *incident, m *message, d destination) bool {
	k := m.key(d)
	done := p.state.progress[k]
	r := p.state.rules[i.ruleKey()]
	if d.format == formatTopic {
		r = nil
	}
	if p.busy[k] {
		return false
	}
	outcome, why := p.verdict(i, m, d, r)
	if outcome == "" && !p.now.Before(m.recordedAt.Add(giveUpAfter)) {
		outcome, why = outcomeFailed, "not delivered within a day"
	}
	if outcome != "" {
		a := entry{delivery: delivery{key: k, msg: m, rule: r, attempt: done.attempts}, at: p.now, outcome: outcome, reason: why}
		p.settled = append(p.settled, a)
		p.state.progress[k] = progress{attempts: done.attempts, outcome: outcome, at: p.now}
		return true
	}
	if !p.now.Before(done.nextAt) {
		p.due = append(p.due, delivery{key: k, msg: m, rule: r, attempt: done.attempts + 1})
	}
	return false
}

// verdict returns an outcome for what is not to be sent, and why.
func (p *plan) verdict(i *incident, m *message, d destination, r *rule) (outcome, why string) {
	if d.format == formatTopic {
		return "", ""
	}
	fired := p.state.progress[i.firing.key(d)].outcome
	if m.state == stateResolved && fired != outcomeDelivered && fired != outcomeFailed {
		return fired, "as when it fired"
	}
	resolving := m.state == stateResolved && fired == outcomeDelivered
	switch {
	case r == nil || !r.live && !resolving:
		return outcomeDisabled, "the rule is disabled or deleted"
	case !slices.Contains(r.destinations, d):
		return outcomeDisabled, "the rule names it no longer"
	case p.state.gone[i.ruleKey()][d] == r.version:
		return outcomeDisabled, "it answered 410 before; write the rule anew to try again"
	case r.silencedUntil != nil && p.now.Before(*r.silencedUntil):
		return outcomeSilenced, "the rule is silenced"
	}
	return "", ""
}
