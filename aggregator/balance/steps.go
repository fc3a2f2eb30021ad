package balance

import "github.com/drawdown/drawdown/schemas"

// StepKind says what a step does. Its values are in the order of rule 4.
type StepKind uint8

// The kinds, one for each thing that can move credits.
const (
	Expires     StepKind = iota // of a grant
	TakesEffect                 // of a grant
	Adjusts                     // of an adjustment
	Voids                       // of a void
	Uses                        // of a segment: its net usage
)

// Reason says why an entry moved nothing.
type Reason string

// The reasons; an adjustment by 0 and usage that nets to 0 need none.
const (
	UnknownGrant   Reason = "unknown_grant"   // the grant it names is not in the ledger (rule 11)
	Cancelled      Reason = "cancelled"       // the grant was voided before it took effect (rule 13)
	NeverEffective Reason = "never_effective" // the grant ended in the minute in which it starts (rule 14)
	NotYet         Reason = "scheduled"       // the grant had not taken effect (rules 9, 13)
	Ended          Reason = "ended"           // the grant had expired or been voided before
	NothingLeft    Reason = "nothing_left"    // there was nothing to remove, or adjustments had taken all
)

// Step is what one entry, one expiry or one segment did.
type Step struct {
	Kind   StepKind
	At, To schemas.Millis // the ledger instant; [At, To) of a segment
	Entry  *Entry         // what was done, or the grant that expired; nil for usage
	// Credits is what the entry says: the grant's, the adjustment's, signed;
	// what the expiry or void removed; what was used. A void of a grant that
	// had not taken effect removes what the grant was to hold.
	Credits schemas.Total
	// Change is the effect on the balance, the sum of the movements. What was
	// adjusted while a grant was scheduled is part of the grant's change.
	Change    schemas.Total
	Unmoved   Reason // empty where Change is not 0
	Movements []Movement
}

// Steps returns everything that happened up to at, in the order of rule 4: each
// entry once, whether or not it moved anything, each expiry and each segment.
// The sum of all changes is the balance that Burn says.
func Steps(entries []Entry, segments []Segment, at schemas.Millis) ([]Step, error) {
	l, err := run(entries, segments, at, true)
	if err != nil {
		return nil, err
	}
	// Not before now, because movements move while they are appended to.
	begin := 0
	for i := range l.done {
		end := l.ends[i]
		step := &l.done[i]
		step.Movements = l.movements[begin:end:end]
		for _, m := range step.Movements {
			step.Change = step.Change.Add(m.Delta)
		}
		if step.Kind == Expires {
			step.Credits = step.Change.Neg()
		}
		if step.Change.Sign() != 0 {
			step.Unmoved = ""
		}
		begin = end
	}
	return l.done, nil
}

// record notes a step that has just been made.
func (l *ledger) record(s Step) {
	if l.explain {
		l.done, l.ends = append(l.done, s), append(l.ends, len(l.movements))
	}
}
