package main_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

const (
	aggregatorKills = 20
	killWorkspaces  = 8
)

// killing is two aggregators that are killed and started again. Each start is
// in a group of its own, so that from its first moment on it owns everything,
// as do those that do not know yet that they own nothing any more.
type killing struct {
	*alerting
	members []*member
	starts  int
	kills   int
	next    time.Time // of the next kill
}

func (k *killing) start() *member {
	k.starts++
	return k.aggregate(fmt.Sprintf("aggregators-%d", k.starts))
}

// while kills aggregators at random moments until something holds.
func (k *killing) while(what string, holds func() bool) {
	k.t.Helper()
	storetest.Wait(k.t, settleWithin, what, func() (bool, error) {
		if k.kills < aggregatorKills && time.Now().After(k.next) {
			k.kills++
			victim := rand.IntN(len(k.members))
			k.members[victim].program.Kill()
			k.members[victim] = k.start()
			// From before it has looked at anything to after it has delivered.
			k.next = time.Now().Add(200*time.Millisecond + rand.N(1300*time.Millisecond))
		}
		return holds(), nil
	})
}

func watching(workspace string, version, revision int, disabled bool) alertRule {
	return alertRule{
		workspace: workspace, id: "watch", version: uint32(version), revision: uint32(revision), kind: schemas.BalanceBelow,
		params: `{"credits":500}`, disabled: disabled,
	}
}

// TestKilledAggregatorsTellOfEachCrossingOnce: balances go below a line, are
// topped up and go below it again, in some workspaces and not in others, while
// two aggregators are killed twenty times. What fired, and was resolved, is
// recorded and told under one id per incident and state, and nothing else is.
func TestKilledAggregatorsTellOfEachCrossingOnce(t *testing.T) {
	t.Parallel()
	k := &killing{alerting: newAlerting(t)}
	k.members = []*member{k.start(), k.start()}
	var workspaces []string
	left := map[string]schemas.Credits{}
	for i := range killWorkspaces {
		workspaces = append(workspaces, fmt.Sprintf("ws_%d", i))
	}
	crossed := map[incident]bool{}
	began := time.Now()
	round := 0
	for k.kills < aggregatorKills {
		round++
		var rules []alertRule
		for _, workspace := range workspaces {
			k.grant(workspace, 1000-left[workspace])
			rules = append(rules, watching(workspace, round, round, false))
		}
		at := time.Now()
		k.while("what was topped up is counted", func() bool { return k.isCounted(at) })
		// What a rule is about begins anew with its revision: the last one's
		// incidents are resolved, and the next crossing is another one.
		k.rules(rules...)
		expected := map[incident]bool{}
		for _, workspace := range workspaces {
			left[workspace] = 1000
			crosses := rand.IntN(2) == 0
			for range map[bool]int{true: 3, false: 2}[crosses] {
				k.use(workspace, "cmp", 200)
				left[workspace] -= 200
			}
			if crosses {
				expected[incident{workspace, "watch", uint32(round), ""}] = true
			}
		}
		k.while("every crossing is recorded", func() bool {
			changes, ok := k.changes()
			for i := range expected {
				ok = ok && len(changes[i]) > 0
			}
			return ok
		})
		for i := range expected {
			crossed[i] = true
		}
	}
	k.settled()
	var off []alertRule
	for _, workspace := range workspaces {
		off = append(off, watching(workspace, round+1, round, true))
	}
	k.rules(off...)
	var changes map[incident][]string
	storetest.Wait(t, settleWithin, "everything is resolved", func() (bool, error) {
		var ok bool
		changes, ok = k.changes()
		for i := range crossed {
			ok = ok && len(changes[i]) > 1
		}
		return ok, nil
	})
	k.settled()
	t.Logf("%d crossings in %d rounds with %d kills in %s", len(crossed), round, k.kills, time.Since(began).Round(time.Millisecond))
	k.stopAll(append(k.members, k.counting)...)

	changes, ok := k.changes()
	if !ok {
		t.Fatal("cannot read what was recorded")
	}
	var want []string
	for i, ids := range changes {
		id, _, _ := strings.Cut(ids[0], "/")
		if i.rule != "watch" {
			if slices.Sort(ids); len(slices.Compact(ids)) != len(changes[i]) {
				t.Errorf("%+v: %q is recorded more than once", i, ids)
			}
			continue
		}
		if !crossed[i] || !slices.Equal(ids, []string{id + "/firing", id + "/resolved"}) {
			t.Errorf("%+v (crossed: %t) is recorded as %q", i, crossed[i], ids)
		}
		want = append(want, ids...)
	}
	var told, said []string
	for _, d := range k.receiver.deliveries(http.StatusNoContent) {
		told = append(told, d.id)
	}
	for _, e := range k.topic() {
		if e.Data.RuleID == "watch" {
			said = append(said, e.ID)
		}
	}
	t.Logf("%d messages came to the receiver %d times, and to the topic %d times", len(want), len(told), len(said))
	slices.Sort(want)
	for where, ids := range map[string][]string{"the receiver": told, "the topic": said} {
		slices.Sort(ids)
		if ids = slices.Compact(ids); !slices.Equal(ids, want) {
			t.Errorf("%s has %d different ids, want %d:\n%q\n%q", where, len(ids), len(want), ids, want)
		}
	}
}

// TestAReceiverThatWasDownGetsAllInOrder: while it answers 503, incidents fire
// and are resolved; when it is back it is told of each, of the firing first.
func TestAReceiverThatWasDownGetsAllInOrder(t *testing.T) {
	t.Parallel()
	a := newAlerting(t)
	a.receiver.answer(http.StatusServiceUnavailable)
	const workspaces = 4
	each := func(do func(workspace string)) {
		for i := range workspaces {
			do(fmt.Sprintf("ws_%d", i))
		}
	}
	write := func(version, revision int, disabled bool) {
		var rules []alertRule
		each(func(workspace string) { rules = append(rules, watching(workspace, version, revision, disabled)) })
		a.rules(rules...)
	}
	each(func(workspace string) { a.grant(workspace, 1000); a.use(workspace, "cmp", 100) })
	write(1, 1, false)
	a.counted()
	aggregator := a.aggregate("aggregators")
	awaitReady(t, aggregator.program, aggregator.ops)
	each(func(workspace string) { a.use(workspace, "cmp", 500) })
	recorded := func(rows int) {
		t.Helper()
		storetest.Wait(t, settleWithin, fmt.Sprintf("%d changes are recorded", rows), func() (bool, error) {
			changes, ok := a.changes()
			found := 0
			for i, ids := range changes {
				if i.rule == "watch" {
					found += len(ids)
				}
			}
			return ok && found >= rows, nil
		})
	}
	recorded(workspaces)
	storetest.Wait(t, settleWithin, "the receiver has refused something", func() (bool, error) {
		return len(a.receiver.deliveries(http.StatusServiceUnavailable)) > 0, nil
	})
	write(2, 2, false) // resolves revision 1, and revision 2 fires
	recorded(3 * workspaces)
	back := time.Now()
	a.receiver.answer(http.StatusNoContent)
	a.settled()
	t.Logf("everything was delivered %s after the receiver was back", time.Since(back).Round(time.Millisecond))
	a.stopAll(aggregator, a.counting)

	for _, d := range a.receiver.deliveries(http.StatusServiceUnavailable) {
		if d.state == "resolved" {
			t.Errorf("%+v was sent before it was known that it fired", d)
		}
	}
	got := map[incident][]string{}
	for _, d := range a.receiver.deliveries(http.StatusNoContent) {
		got[d.incident] = append(got[d.incident], d.state)
	}
	each(func(workspace string) {
		for revision, want := range map[uint32][]string{1: {"firing", "resolved"}, 2: {"firing"}} {
			i := incident{workspace, "watch", revision, ""}
			if !slices.Equal(got[i], want) {
				t.Errorf("of %+v came %q, want %q", i, got[i], want)
			}
			delete(got, i)
		}
	})
	if len(got) > 0 {
		t.Errorf("and there came %v", got)
	}
}
