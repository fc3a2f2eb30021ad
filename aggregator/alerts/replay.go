package alerts

import (
	"errors"
	"slices"

	"github.com/drawdown/drawdown/schemas"
)

// Incident is one that fired.
type Incident struct {
	IncidentID string
	Subject    string // the campaign; empty: the workspace
	Sequence   uint32
	BeganAt    schemas.Millis // when the condition was first met
	FiredAt    schemas.Millis
	ResolvedAt schemas.Millis // NoInstant: it goes on
	Message    string         // when it fired
	Detail     string         // a JSON object
}

// ErrStep says that a replay would look too often, or not at all.
var ErrStep = errors.New("want a step above 0, and at most 100,000 of them")

// maxSteps bounds the work of a replay: more than a year of five minutes is a
// mistake.
const maxSteps = 100_000

// Replay returns the incidents that a rule would have had if it had been
// evaluated at from and every step from there to to, in the order in which they
// fired: by what is known now, with each figure as of its instant (rule 17).
// The rule may be disabled or deleted; of kind freshness there is none.
func Replay(rule schemas.AlertRule, timeline *Timeline, from, to, step schemas.Millis) ([]Incident, error) {
	if step <= 0 || (to-from)/step >= maxSteps {
		return nil, ErrStep
	}
	rule.Enabled, rule.Deleted = true, false
	past, err := newPast(&rule, timeline, from, to, step)
	if err != nil {
		return nil, err
	}
	var (
		book      = Book{}
		rules     = []schemas.AlertRule{rule}
		incidents []Incident
		began     = map[string]schemas.Millis{} // of incidents that are open
		moved     []Transition
		findings  []Finding
	)
	for at := from; at <= to; at += step {
		figures, err := past.at(at)
		if err != nil {
			return nil, err
		}
		moved, findings = book.advance(rules, figures, findings)
		for _, tr := range moved {
			switch tr.State {
			case schemas.AlertPending:
				began[tr.IncidentID] = tr.At
			case schemas.AlertFiring:
				i := Incident{
					IncidentID: tr.IncidentID, Subject: tr.Subject, Sequence: tr.Sequence, BeganAt: tr.At, FiredAt: tr.At,
					ResolvedAt: schemas.NoInstant, Message: tr.Message, Detail: tr.Detail,
				}
				if since, pending := began[tr.IncidentID]; pending {
					i.BeganAt = since
				}
				incidents = append(incidents, i)
			case schemas.AlertResolved:
				i := slices.IndexFunc(incidents, func(i Incident) bool { return i.IncidentID == tr.IncidentID })
				if i >= 0 {
					incidents[i].ResolvedAt = tr.At
				}
				delete(began, tr.IncidentID)
			}
		}
	}
	return incidents, nil
}
