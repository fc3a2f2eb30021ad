package alerts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/drawdown/drawdown/schemas"
)

// Hold is for how long the condition must be over, past hysteresis, before an
// incident that fired is resolved: as long as the shortest window of a burn
// rate, so that what comes and goes within it is one incident.
const Hold = 5 * time.Minute

// Reason says why an incident ended although its condition did not.
type Reason string

// The reasons.
const (
	RuleDeleted  Reason = "rule_deleted"
	RuleDisabled Reason = "rule_disabled"
	RuleChanged  Reason = "rule_changed" // another revision is evaluated now
	SubjectGone  Reason = "subject_gone" // the rule has no such subject any more
	NeverFired   Reason = "never_fired"  // the condition did not hold for long enough
	overAsUsual  Reason = ""             // it is over
)

// State is how far one subject of one revision of a rule is. The zero State is
// that of a subject without any incident. Apart from what Recall brings back,
// the rows of its newest incident say it all.
type State struct {
	Phase       schemas.AlertState // empty: there was no incident
	WorkspaceID string
	Kind        schemas.AlertKind // of the rule then
	IncidentID  string            // of the newest incident
	Sequence    uint32            // of the newest incident: how many there were
	Fired       bool              // it did
	Since       schemas.Millis    // when it began: the instant of its first row
	At          schemas.Millis    // of its last row

	// clearing says that the condition has been over since clearSince.
	clearing   bool
	clearSince schemas.Millis
}

// Open says whether an incident goes on.
func (s State) Open() bool {
	return s.Phase == schemas.AlertPending || s.Phase == schemas.AlertFiring
}

// Transition is a change of state that is to be recorded.
type Transition struct {
	schemas.AlertChange
	Reason Reason
	// Deliver says whether people are to be told: of what fires, and of the
	// end of what fired, unless the rule is silent (rule 16). Who sends decides
	// again, by the rule as it is then.
	Deliver bool
}

// Step takes one finding about a subject of a rule. The transitions, at most
// one, happen at the finding's instant. A finding that is older than the last
// row, or that is unknown, changes nothing.
func Step(rule *schemas.AlertRule, state State, f *Finding) (State, []Transition) {
	if state.Phase != "" && f.At < state.At {
		return state, nil
	}
	if f.Unknown != "" {
		state.clearing = false
		return state, nil
	}
	switch state.Phase {
	case schemas.AlertPending:
		switch {
		case !f.Met:
			return state.move(rule, schemas.AlertResolved, f.At, NeverFired, f)
		case f.At-state.Since >= millis(rule.Params.For):
			return state.move(rule, schemas.AlertFiring, f.At, overAsUsual, f)
		}
	case schemas.AlertFiring:
		state.clear(f)
		if state.clearing && f.At-state.clearSince >= millis(Hold) {
			return state.move(rule, schemas.AlertResolved, f.At, overAsUsual, f)
		}
	default:
		if f.Met {
			return state.begin(rule, f)
		}
	}
	return state, nil
}

// clear notes since when the condition of a firing incident is over.
func (s *State) clear(f *Finding) {
	switch {
	case !f.Cleared:
		s.clearing = false
	case !s.clearing:
		s.clearing, s.clearSince = true, f.At
	}
}

func (s State) begin(rule *schemas.AlertRule, f *Finding) (State, []Transition) {
	next := State{WorkspaceID: rule.WorkspaceID, Kind: rule.Kind, Sequence: s.Sequence + 1, Since: f.At}
	next.IncidentID = incidentID(rule, f.Subject, next.Sequence, f.At)
	if rule.Params.For > 0 {
		return next.move(rule, schemas.AlertPending, f.At, overAsUsual, f)
	}
	return next.move(rule, schemas.AlertFiring, f.At, overAsUsual, f)
}

// move makes the transition to a phase.
func (s State) move(rule *schemas.AlertRule, to schemas.AlertState, at schemas.Millis, reason Reason, f *Finding) (State, []Transition) {
	message, detail := f.Message(), f.Detail()
	detail.Reason = reason
	change := schemas.AlertChange{
		WorkspaceID: rule.WorkspaceID, RuleID: rule.RuleID, RuleRevision: rule.Revision, Kind: rule.Kind,
		Subject: f.Subject, Message: message, Detail: detail.JSON(),
	}
	return s.change(change, rule, to, at, reason)
}

func (s State) change(change schemas.AlertChange, rule *schemas.AlertRule, to schemas.AlertState, at schemas.Millis, reason Reason) (State, []Transition) {
	s.Phase, s.At, s.clearing = to, at, false
	s.Fired = s.Fired || to == schemas.AlertFiring
	change.IncidentID, change.Sequence, change.State, change.At = s.IncidentID, s.Sequence, to, at
	return s, []Transition{{
		AlertChange: change, Reason: reason,
		Deliver: s.Fired && !Silenced(rule, at),
	}}
}

// Silenced says whether a rule tells nobody at an instant (rule 16).
func Silenced(rule *schemas.AlertRule, at schemas.Millis) bool {
	return rule.SilencedUntil != schemas.NoInstant && at < rule.SilencedUntil
}

// end resolves an incident whose condition is not looked at any more; rule is
// the rule as it is now, kind and revision are the incident's.
func (s State) end(key Key, rule *schemas.AlertRule, at schemas.Millis, reason Reason) (State, []Transition) {
	what := map[Reason]string{
		RuleDeleted: "The rule was deleted", RuleDisabled: "The rule was switched off",
		RuleChanged: "The rule was changed", SubjectGone: "The rule does not apply to " + key.Subject + " any more",
	}[reason]
	change := schemas.AlertChange{
		WorkspaceID: s.WorkspaceID, RuleID: key.RuleID, RuleRevision: key.Revision, Kind: s.Kind,
		Subject: key.Subject, Message: what,
		Detail: Detail{CampaignID: key.Subject, Reason: reason}.JSON(),
	}
	// Never before its last row, or the rows would say that it goes on.
	return s.change(change, rule, schemas.AlertResolved, max(at, s.At), reason)
}

// incidentID names an incident (rule 13). The workspace is in it because the
// default rules have the same ids everywhere, the sequence because a condition
// may begin and end within a minute.
func incidentID(rule *schemas.AlertRule, subject string, sequence uint32, at schemas.Millis) string {
	crossing := at - at%60_000
	// No id has a slash in it.
	text := fmt.Sprintf("%s/%s/%d/%s/%d/%d", rule.WorkspaceID, rule.RuleID, rule.Revision, subject, sequence, crossing)
	hash := sha256.Sum256([]byte(text))
	return hex.EncodeToString(hash[:16])
}

func millis(d time.Duration) schemas.Millis { return schemas.Millis(d.Milliseconds()) }
