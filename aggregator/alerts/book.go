package alerts

import (
	"cmp"
	"maps"
	"slices"

	"github.com/drawdown/drawdown/schemas"
)

// Key names what a State is of, within a workspace.
type Key struct {
	RuleID   string
	Revision uint32
	Subject  string
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.RuleID, b.RuleID), cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Subject, b.Subject))
}

// Book has the states of all rules of one workspace. Nobody else may use it
// while a method runs.
type Book map[Key]State

// Restore returns the book that the rows of alert_incidents of one workspace
// make, in any order. Of each rule, revision and subject it needs the rows of
// the highest sequence; more do no harm.
func Restore(rows []schemas.AlertChange) Book {
	// Resolved last, whatever another evaluator recorded after it: an incident
	// that has ended goes on no more. The first row names the incident.
	rows = slices.SortedFunc(slices.Values(rows), func(a, b schemas.AlertChange) int {
		return cmp.Or(cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(phaseRank(a.State), phaseRank(b.State)))
	})
	b := Book{}
	for i := range rows {
		row := &rows[i]
		key := Key{row.RuleID, row.RuleRevision, row.Subject}
		s, known := b[key]
		if !known || row.Sequence > s.Sequence {
			s = State{
				WorkspaceID: row.WorkspaceID, Kind: row.Kind, IncidentID: row.IncidentID, Sequence: row.Sequence, Since: row.At, At: row.At,
			}
		}
		s.Phase, s.At = row.State, max(s.At, row.At)
		s.Fired = s.Fired || row.State == schemas.AlertFiring
		b[key] = s
	}
	return b
}

func phaseRank(s schemas.AlertState) int {
	return slices.Index([]schemas.AlertState{schemas.AlertPending, schemas.AlertFiring, schemas.AlertResolved}, s)
}

// Read makes the book what the rows say, and keeps what rows do not say of
// incidents that both know to fire. What is in no row never happened, so the
// rows must be all that Restore needs.
func (b Book) Read(rows []schemas.AlertChange) {
	recorded := Restore(rows)
	for key, s := range recorded {
		if had := b[key]; had.Phase == s.Phase && had.Sequence == s.Sequence {
			s.clearing, s.clearSince = had.clearing, had.clearSince
		}
		recorded[key] = s
	}
	clear(b)
	maps.Copy(b, recorded)
}

// Recall brings back for how long the conditions of firing incidents have been
// over, which no row says: figures of the last Hold before a restart, oldest
// first, change nothing else. Without it Hold begins anew, and an incident may
// go on that would have ended and begun again.
func (b Book) Recall(rules []schemas.AlertRule, past ...*Figures) {
	var findings []Finding
	for _, figures := range past {
		for i := range rules {
			findings = evaluate(findings[:0], &rules[i], figures)
			for j := range findings {
				f := &findings[j]
				key := Key{rules[i].RuleID, rules[i].Revision, f.Subject}
				if s := b[key]; s.Phase == schemas.AlertFiring && f.At >= s.At {
					s.clear(f)
					b[key] = s
				}
			}
		}
	}
}

// Clearing says whether the condition of any firing incident is over at the
// figures: only then is there something to Recall.
func (b Book) Clearing(rules []schemas.AlertRule, figures *Figures) bool {
	for i := range rules {
		for _, f := range Evaluate(&rules[i], figures) {
			if f.Cleared && b[Key{rules[i].RuleID, rules[i].Revision, f.Subject}].Phase == schemas.AlertFiring {
				return true
			}
		}
	}
	return false
}

// Advance evaluates the rules that are in force (schemas.RulesInForce) at the
// figures and steps every subject. What goes on of rules or subjects that are
// no more is resolved. Rules of kind freshness are left to Observe. The
// transitions are in the order of the rules, then of the figures; the caller
// records them, each under its Token, and Reads back what was recorded.
func (b Book) Advance(rules []schemas.AlertRule, figures *Figures) []Transition {
	transitions, _ := b.advance(rules, figures, nil)
	return transitions
}

// advance is Advance with room for findings, which it returns.
func (b Book) advance(rules []schemas.AlertRule, figures *Figures, findings []Finding) ([]Transition, []Finding) {
	var transitions []Transition
	looked := 0 // at, of incidents that are open now
	for i := range rules {
		rule := &rules[i]
		findings = evaluate(findings[:0], rule, figures)
		for j := range findings {
			key := Key{rule.RuleID, rule.Revision, findings[j].Subject}
			had := b[key]
			s, moved := Step(rule, had, &findings[j])
			if s != had {
				b[key] = s
			}
			transitions = append(transitions, moved...)
			if s.Open() {
				looked++
			}
		}
	}
	for _, s := range b {
		if s.Open() {
			looked--
		}
	}
	if looked == 0 {
		return transitions, findings
	}
	return append(transitions, b.endOthers(rules, figures)...), findings
}

// endOthers is rule 15: it resolves what is open and no rule looks at.
func (b Book) endOthers(rules []schemas.AlertRule, figures *Figures) []Transition {
	looked := map[Key]bool{}
	for i := range rules {
		for _, f := range Evaluate(&rules[i], figures) {
			looked[Key{rules[i].RuleID, rules[i].Revision, f.Subject}] = true
		}
	}
	var others []Key
	for key, s := range b {
		if s.Open() && !looked[key] {
			others = append(others, key)
		}
	}
	slices.SortFunc(others, compareKeys)
	var transitions []Transition
	for _, key := range others {
		i := slices.IndexFunc(rules, func(r schemas.AlertRule) bool { return r.RuleID == key.RuleID })
		// Rows of rules are never taken away; rules of tests may be.
		rule, reason := &schemas.AlertRule{RuleID: key.RuleID, SilencedUntil: schemas.NoInstant}, RuleDeleted
		if i >= 0 {
			rule = &rules[i]
			reason = b.whyOver(rule, key)
		}
		if reason == overAsUsual {
			continue
		}
		s, moved := b[key].end(key, rule, figures.At, reason)
		b[key] = s
		transitions = append(transitions, moved...)
	}
	return transitions
}

func (b Book) whyOver(rule *schemas.AlertRule, key Key) Reason {
	switch {
	case rule.Deleted:
		return RuleDeleted
	case !rule.Enabled:
		return RuleDisabled
	case rule.Revision != key.Revision:
		return RuleChanged
	case rule.Kind == schemas.Freshness:
		return overAsUsual // Observe's
	}
	return SubjectGone
}

// Observe steps the rule of kind freshness, if it is in force, by the clock.
func (b Book) Observe(rules []schemas.AlertRule, watch Watch, name string, now schemas.Millis) []Transition {
	for i := range rules {
		rule := &rules[i]
		if rule.Kind != schemas.Freshness || !rule.Live() {
			continue
		}
		f := watch.Finding(rule, name, now)
		key := Key{RuleID: rule.RuleID, Revision: rule.Revision}
		s, moved := Step(rule, b[key], &f)
		if s != b[key] {
			b[key] = s
		}
		return moved
	}
	return nil
}
