package balance_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// stepsOf lists what happened and checks what holds for every list: it makes
// the movements that Explain has, adds up to the balance, and gives a reason
// where something moved nothing.
func stepsOf(t fataler, entries []balance.Entry, usages []usage, at schemas.Millis) []balance.Step {
	t.Helper()
	segments := segmentsOf(t, entries, usages, at)
	steps, err := balance.Steps(entries, segments, at)
	if err != nil {
		t.Fatalf("cannot list the steps: %v", err)
	}
	state, movements := explain(t, entries, usages, at)
	var moved []balance.Movement
	var sum, expired, voided, used schemas.Total
	for i, s := range steps {
		moved = append(moved, s.Movements...)
		change := schemas.Total{}
		for _, m := range s.Movements {
			change = change.Add(m.Delta)
		}
		sum = sum.Add(change)
		switch s.Kind {
		case balance.Expires:
			expired = expired.Add(s.Credits)
		case balance.Uses:
			used = used.Add(s.Credits)
		case balance.Voids:
			voided = voided.Sub(change)
		}
		if i > 0 && (steps[i-1].At > s.At || (steps[i-1].At == s.At && steps[i-1].Kind > s.Kind)) {
			t.Fatalf("step %+v before %+v", steps[i-1], s)
		}
		isEntry := s.Kind != balance.Expires && s.Kind != balance.Uses && s.Credits.Sign() != 0
		switch {
		case s.Change != change, (s.Kind == balance.Uses) != (s.Entry == nil):
			t.Fatalf("step %+v has movements of %v", s, change)
		case s.Unmoved != "" && change.Sign() != 0, s.Unmoved == "" && change.Sign() == 0 && isEntry:
			t.Fatalf("step %+v moved %v because %q", s, change, s.Unmoved)
		}
	}
	if !slices.Equal(moved, movements) || sum != state.Remaining {
		t.Fatalf("steps move %v to %v, the balance is %v by %v", moved, sum, state.Remaining, movements)
	}
	if expired != state.ExpiredTotal || voided != state.VoidedTotal || used != state.NetUsed {
		t.Fatalf("steps expired %v, voided %v, used %v of %+v", expired, voided, used, state)
	}
	return steps
}

// TestStepsBeforeAnInstantAreTheBalanceThere compares every prefix of the steps
// with the oracle, and looks for every entry.
func TestStepsBeforeAnInstantAreTheBalanceThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t, true)
		at := minute(minutes + 2)
		steps := stepsOf(t, s.entries, s.usages, at)
		for _, now := range instantsOf() {
			balanceThen := schemas.Total{}
			for _, step := range steps {
				// Usage of a segment is known at its end alone.
				if (step.Kind == balance.Uses && step.To <= now) || (step.Kind != balance.Uses && step.At <= now) {
					balanceThen = balanceThen.Add(step.Change)
				}
			}
			cuts, err := balance.Cuts(s.entries, at)
			if err != nil {
				t.Fatal(err)
			}
			if want := ask(s.counted(), s.usages, now).remaining(); slices.Contains(cuts, now) && balanceThen != schemas.TotalOf(int64(want)) {
				t.Fatalf("at %s steps add up to %v, the balance is %d", instantText(now), balanceThen, want)
			}
		}
		for _, e := range s.counted() {
			said := 0
			for _, step := range steps {
				if step.Entry != nil && step.Entry.EventID == e.EventID && step.Kind != balance.Expires {
					said++
				}
			}
			if said != 1 {
				t.Fatalf("%+v is said %d times in %+v", e, said, steps)
			}
		}
	})
}
