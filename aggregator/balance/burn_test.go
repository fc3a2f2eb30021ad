package balance_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// TestMain makes 10,000 scenarios the default for each property, and a seed
// what a failure is reproduced with; the flags still override both.
func TestMain(m *testing.M) {
	if err := errors.Join(flag.Set("rapid.checks", "10000"), flag.Set("rapid.nofailfile", "true")); err != nil {
		fmt.Fprintln(os.Stderr, "cannot set the defaults of rapid:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func instantText(t schemas.Millis) string {
	return time.UnixMilli(int64(t)).UTC().Format(time.RFC3339Nano)
}

// minutes is how long a scenario is: short, so that instants coincide often.
const minutes = 10

type scenario struct {
	entries []balance.Entry
	usages  []usage
}

func minute(n int) schemas.Millis { return balance.Beginning + schemas.Millis(n)*grid }

// drawScenario makes a ledger with few grants and few instants, where things
// coincide, come late and twice, name what is not there, and overdraw.
func drawScenario(t *rapid.T, refunds bool) scenario {
	var s scenario
	anyMinute := rapid.IntRange(0, minutes)
	grantID := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
	for i := range rapid.IntRange(0, 12).Draw(t, "entries") {
		e := balance.Entry{
			// Ids are in another order than offsets: 7 and 13 have no common factor.
			EventID: fmt.Sprintf("event-%02d", 7*i%13), At: minute(anyMinute.Draw(t, "at")), Offset: uint64(i),
			EffectiveAt: schemas.NoInstant, ExpiresAt: schemas.NoInstant,
		}
		switch rapid.SampledFrom([]string{"grant", "grant", "adjust", "adjust", "void"}).Draw(t, "type") {
		case "grant":
			e.Type, e.GrantID = schemas.CreditsGranted, grantID.Draw(t, "grant_id")
			e.Credits = schemas.Credits(rapid.IntRange(1, 20).Draw(t, "credits"))
			e.Class = rapid.SampledFrom([]schemas.Class{schemas.Paid, schemas.Promo}).Draw(t, "class")
			e.Priority = rapid.SampledFrom([]uint16{0, 100, 100, 1000}).Draw(t, "priority")
			e.EffectiveAt = minute(anyMinute.Draw(t, "effective_at"))
			if rapid.Bool().Draw(t, "expires") {
				e.ExpiresAt = e.EffectiveAt + grid*schemas.Millis(rapid.IntRange(0, minutes).Draw(t, "length"))
			}
		case "adjust":
			e.Type, e.Credits = schemas.CreditsAdjusted, schemas.Credits(rapid.IntRange(-15, 15).Draw(t, "credits"))
			if rapid.Bool().Draw(t, "names a grant") {
				e.GrantID = grantID.Draw(t, "grant_id")
			}
		default:
			e.Type, e.GrantID = schemas.GrantVoided, grantID.Draw(t, "grant_id")
		}
		s.entries = append(s.entries, e)
	}
	least := 0
	if refunds {
		least = -15
	}
	for range rapid.IntRange(0, 10).Draw(t, "usages") {
		s.usages = append(s.usages, usage{
			at:    minute(anyMinute.Draw(t, "at")) + schemas.Millis(rapid.SampledFrom([]int{0, 1, 59_999}).Draw(t, "ms")),
			micro: rapid.IntRange(least, 15).Draw(t, "micro"),
		})
	}
	return s
}

// counted is the ledger as the consumers leave it: the first of two wins.
func (s scenario) counted() []balance.Entry {
	known := map[string]bool{}
	var kept []balance.Entry
	for _, e := range s.entries {
		if e.Type == schemas.CreditsGranted && known[e.GrantID] {
			continue
		}
		known[e.GrantID] = known[e.GrantID] || e.Type == schemas.CreditsGranted
		kept = append(kept, e)
	}
	return kept
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// explain burns a ledger and checks what holds for every answer: the identity,
// that movements add up to it, and the bounds of each grant.
func explain(t fataler, entries []balance.Entry, usages []usage, at schemas.Millis) (*balance.State, []balance.Movement) {
	t.Helper()
	segments := segmentsOf(t, entries, usages, at)
	state, movements, err := balance.Explain(entries, segments, at)
	if err != nil {
		t.Fatalf("cannot burn: %v", err)
	}
	plain, err := balance.Burn(entries, segments, at)
	if err != nil || !equalStates(plain, state) {
		t.Fatalf("Burn and Explain differ (%v):\n%+v\n%+v", err, plain, state)
	}
	checkIdentity(t, state)
	checkMovements(t, state, movements)
	checkGrants(t, state)
	return state, movements
}

func segmentsOf(t fataler, entries []balance.Entry, usages []usage, at schemas.Millis) []balance.Segment {
	t.Helper()
	segments, err := balance.Segments(entries, at)
	if err != nil {
		t.Fatalf("cannot cut: %v", err)
	}
	for i, s := range segments {
		for _, u := range usages {
			if s.From <= u.at && u.at < s.To {
				segments[i].Net = segments[i].Net.Add(schemas.TotalOf(int64(u.micro)))
			}
		}
	}
	return segments
}

func checkIdentity(t fataler, s *balance.State) {
	t.Helper()
	sum := s.GrantedTotal.Add(s.AdjustedTotal).Sub(s.NetUsed).Sub(s.ExpiredTotal).Sub(s.VoidedTotal)
	if s.Remaining != sum {
		t.Fatalf("balance %v is not granted %v + adjusted %v - net used %v - expired %v - voided %v",
			s.Remaining, s.GrantedTotal, s.AdjustedTotal, s.NetUsed, s.ExpiredTotal, s.VoidedTotal)
	}
	if s.Overdraft.Sign() < 0 || (s.Overdraft.Sign() > 0 && s.Remaining != s.Overdraft.Neg()) {
		t.Fatalf("overdraft %v beside a balance of %v", s.Overdraft, s.Remaining)
	}
}

func checkMovements(t fataler, s *balance.State, movements []balance.Movement) {
	t.Helper()
	held, flows := map[string]schemas.Total{}, map[balance.MovementKind]schemas.Total{}
	credits := map[string]schemas.Total{}
	for i := range s.Grants {
		credits[s.Grants[i].GrantID] = s.Grants[i].Credits
	}
	for i, m := range movements {
		held[m.GrantID] = held[m.GrantID].Add(m.Delta)
		refilled := m.Kind == balance.MovedRefunded && m.GrantID != ""
		if m.GrantID != "" && held[m.GrantID].Sign() < 0 || refilled && held[m.GrantID].Cmp(credits[m.GrantID]) > 0 {
			t.Fatalf("movement %d leaves %v of %v: %+v", i, held[m.GrantID], credits[m.GrantID], m)
		}
		flows[m.Kind] = flows[m.Kind].Add(m.Delta)
		if m.Delta.Sign() == 0 || m.To < m.At || (i > 0 && m.At < movements[i-1].At) {
			t.Fatalf("movement %d is empty or out of order: %+v", i, m)
		}
	}
	if held[""] != s.Overdraft.Neg() {
		t.Fatalf("movements make an overdraft of %v, not %v", held[""].Neg(), s.Overdraft)
	}
	for i := range s.Grants {
		if g := &s.Grants[i]; g.Status != balance.Scheduled && held[g.GrantID] != g.Remaining {
			t.Fatalf("movements leave %v in %s, not %v", held[g.GrantID], g.GrantID, g.Remaining)
		}
	}
	used := flows[balance.MovedUsed].Add(flows[balance.MovedRefunded]).Add(flows[balance.MovedCarriedOver]).Neg()
	if flows[balance.MovedGranted] != s.GrantedTotal || flows[balance.MovedAdjusted] != s.AdjustedTotal ||
		used != s.NetUsed || flows[balance.MovedExpired].Neg() != s.ExpiredTotal ||
		flows[balance.MovedVoided].Neg() != s.VoidedTotal || flows[balance.MovedRepaid].Sign() != 0 {
		t.Fatalf("movements %v do not add up to %+v", flows, s)
	}
}

func checkGrants(t fataler, s *balance.State) {
	t.Helper()
	zero := schemas.Total{}
	for i := range s.Grants {
		g := &s.Grants[i]
		sum := g.Credits.Add(g.Adjusted).Sub(g.Used).Sub(g.Expired).Sub(g.Voided)
		dead := g.Status == balance.Expired || g.Status == balance.Voided
		active := g.EffectiveAt <= s.At && (g.ExpiresAt == schemas.NoInstant || s.At < g.ExpiresAt)
		switch {
		case g.Remaining.Sign() < 0, dead && g.Remaining != zero, !dead && g.Remaining != sum,
			g.Active() && !active, g.Status == balance.Scheduled && active,
			g.Status == balance.Active && g.Remaining == zero, g.Status == balance.Exhausted && g.Remaining != zero:
			t.Fatalf("at %s grant %+v cannot be", instantText(s.At), *g)
		}
	}
}

func equalStates(a, b *balance.State) bool {
	x, y := *a, *b
	x.Grants, y.Grants, x.Unmatched, y.Unmatched = nil, nil, nil, nil
	return fmt.Sprintf("%+v", x) == fmt.Sprintf("%+v", y) &&
		slices.Equal(a.Grants, b.Grants) && slices.Equal(a.Unmatched, b.Unmatched)
}

// instantsOf returns all instants of a scenario and those between them.
func instantsOf() []schemas.Millis {
	var all []schemas.Millis
	for n := range 2*minutes + 2 {
		all = append(all, minute(n))
	}
	return all
}

func compare(t fataler, got *balance.State, want *oracle) {
	t.Helper()
	total := func(n int) schemas.Total { return schemas.TotalOf(int64(n)) }
	if got.Remaining != total(want.remaining()) || got.Overdraft != total(want.owedForUsage+want.owedForAdjustments) ||
		got.GrantedTotal != total(want.granted) || got.AdjustedTotal != total(want.adjusted) ||
		got.NetUsed != total(want.used) || got.ExpiredTotal != total(want.expired) || got.VoidedTotal != total(want.voided) {
		t.Fatalf("at %s\n got %+v\nwant %+v", instantText(got.At), *got, *want)
	}
	if len(got.Grants) != len(want.pots) {
		t.Fatalf("at %s %d grants, want %d", instantText(got.At), len(got.Grants), len(want.pots))
	}
	pots := map[string]*pot{}
	allocated, used := 0, 0
	for _, p := range want.pots {
		pots[p.id] = p
		if p.allocated && p.status == balance.Active {
			allocated, used = allocated+p.credits, used+p.used
		}
	}
	if got.Allocated != total(allocated) || got.Used != total(used) {
		t.Fatalf("at %s allocated %v used %v, want %v, %v micro", instantText(got.At), got.Allocated, got.Used, allocated, used)
	}
	for _, g := range got.Grants {
		p, status := pots[g.GrantID], g.Status
		if status == balance.Exhausted {
			status = balance.Active
		}
		if p == nil || p.status != status || total(p.credits) != g.Credits || total(p.held) != g.Remaining || total(p.used) != g.Used {
			t.Fatalf("at %s\n got %+v\nwant %+v", instantText(got.At), g, p)
		}
	}
}

func TestBurnIsWhatTheOracleSaysAtEveryInstant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t, true)
		counted := s.counted()
		for _, at := range instantsOf() {
			state, _ := explain(t, s.entries, s.usages, at)
			compare(t, state, ask(counted, s.usages, at))
		}
	})
}

func TestBurnOrderInWhichEntriesArePassedChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t, true)
		at := minute(rapid.IntRange(0, 2*minutes).Draw(t, "T"))
		want, _ := explain(t, s.entries, s.usages, at)
		// Twice each, as a table would show a doubled row.
		shuffled := append(slices.Clone(s.entries), s.entries...)
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if got, _ := explain(t, shuffled, s.usages, at); !equalStates(got, want) {
			t.Fatalf("shuffled and doubled:\n got %+v\nwant %+v", *got, *want)
		}
	})
}

// Arrival only decides between entries of one kind at one instant.
func TestBurnOrderOfArrivalChangesNothingWhereNoTimesAreEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t, true)
		entries := s.counted()
		for i := range entries {
			entries[i].At = minute(i)
		}
		at := minute(rapid.IntRange(0, 2*minutes).Draw(t, "T"))
		want, _ := explain(t, entries, s.usages, at)
		arrived := slices.Clone(entries)
		for i, offset := range rapid.Permutation(slices.Collect(offsets(len(arrived)))).Draw(t, "offsets") {
			arrived[i].Offset = offset
		}
		got, _ := explain(t, arrived, s.usages, at)
		got.Unmatched, want.Unmatched = nil, nil // which name their offset
		if !equalStates(got, want) {
			t.Fatalf("other arrival:\n got %+v\nwant %+v", *got, *want)
		}
	})
}

func offsets(n int) func(yield func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for i := range n {
			if !yield(uint64(1000 + i)) {
				return
			}
		}
	}
}

func TestBurnCutWithoutEffectChangesNothingWithoutRefunds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t, false)
		at := minute(rapid.IntRange(0, 2*minutes).Draw(t, "T"))
		want, _ := explain(t, s.entries, s.usages, at)
		cut := slices.Clone(s.entries)
		for n := range minutes {
			cut = append(cut, balance.Entry{
				Type: schemas.CreditsAdjusted, EventID: fmt.Sprint("cut-", n), At: minute(n), Offset: uint64(5000 + n),
			})
		}
		if got, _ := explain(t, cut, s.usages, at); !equalStates(got, want) {
			t.Fatalf("cut every minute:\n got %+v\nwant %+v", *got, *want)
		}
	})
}

// What is known to a smaller T is the beginning of what is known to a larger
// one: the movements before the segment that T cuts are the same.
func TestExplainGoesOnWhereItEnded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t, true)
		at := minute(rapid.IntRange(0, 2*minutes).Draw(t, "T"))
		cuts, err := balance.Cuts(s.entries, at)
		if err != nil {
			t.Fatalf("cannot cut: %v", err)
		}
		_, later := explain(t, s.entries, s.usages, minute(2*minutes+1))
		for _, cut := range cuts {
			_, before := explain(t, s.entries, s.usages, cut)
			if len(before) > len(later) || !slices.Equal(before, later[:len(before)]) {
				t.Fatalf("to %s:\n%v\nis no beginning of\n%v", instantText(cut), before, later)
			}
		}
	})
}

// The largest amounts are the smallest ones times 5 * 10^16: sums beyond 64
// bits are as exact.
func TestBurnIsExactBeyond64Bits(t *testing.T) {
	const scale = 50_000_000_000_000_000
	times := func(x schemas.Total) schemas.Total {
		b := x.Big()
		y, err := schemas.TotalFromBig(b.Mul(b, schemas.TotalOf(scale).Big()))
		if err != nil {
			t.Fatalf("cannot scale %v: %v", x, err)
		}
		return y
	}
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t, true)
		at := minute(rapid.IntRange(0, 2*minutes).Draw(t, "T"))
		small, _ := explain(t, s.entries, s.usages, at)
		entries := slices.Clone(s.entries)
		for i := range entries {
			entries[i].Credits *= scale
		}
		segments := segmentsOf(t, s.entries, s.usages, at)
		for i := range segments {
			segments[i].Net = times(segments[i].Net)
		}
		large, err := balance.Burn(entries, segments, at)
		if err != nil {
			t.Fatalf("cannot burn: %v", err)
		}
		if large.Remaining != times(small.Remaining) || large.Used != times(small.Used) || large.ExpiredTotal != times(small.ExpiredTotal) {
			t.Fatalf("scaled:\n got %+v\nfrom %+v", *large, *small)
		}
		for i := range large.Grants {
			if large.Grants[i].Remaining != times(small.Grants[i].Remaining) {
				t.Fatalf("scaled:\n got %+v\nfrom %+v", large.Grants[i], small.Grants[i])
			}
		}
	})
}

func TestCutsAreTheInstantsOfTheLedgerWhateverTheyDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t, false)
		at := minute(rapid.IntRange(0, 2*minutes).Draw(t, "T"))
		want := map[schemas.Millis]bool{}
		for _, e := range s.counted() {
			instants := []schemas.Millis{e.At}
			if e.Type == schemas.CreditsGranted {
				instants = []schemas.Millis{e.EffectiveAt, e.ExpiresAt}
			}
			for _, i := range instants {
				if i != schemas.NoInstant && i <= at {
					want[i] = true
				}
			}
		}
		got, err := balance.Cuts(s.entries, at)
		if err != nil || !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Fatalf("cuts %v (%v), want %v", got, err, want)
		}
	})
}

func TestSegmentsOfAnotherLedgerOrInstantAreRefused(t *testing.T) {
	entries := []balance.Entry{{
		Type: schemas.CreditsGranted, EventID: "1", GrantID: "a", Credits: 5,
		EffectiveAt: minute(3), ExpiresAt: minute(6),
	}}
	good, err := balance.Segments(entries, minute(8))
	if err != nil || len(good) != 3 {
		t.Fatalf("segments %v, %v", good, err)
	}
	moved := slices.Clone(good)
	moved[1].To, moved[2].From = minute(5), minute(5)
	for name, segments := range map[string][]balance.Segment{
		"none": nil, "too few": good[:2], "a moved cut": moved, "too many": append(good, good[2]),
	} {
		if _, err := balance.Burn(entries, segments, minute(8)); !errors.Is(err, balance.ErrSegments) {
			t.Errorf("%s: %v, want ErrSegments", name, err)
		}
	}
	if _, err := balance.Burn(entries, good, minute(9)); !errors.Is(err, balance.ErrSegments) {
		t.Errorf("segments to another instant: %v, want ErrSegments", err)
	}
}

// A ledger instant before 2000 cannot be decoded as a time but as an
// effective_at it may be; usage then starts no later than it.
func TestSegmentsStartAtTheFirstCutIfThatIsBeforeBeginning(t *testing.T) {
	entries := []balance.Entry{{
		Type: schemas.CreditsGranted, EventID: "1", GrantID: "a", Credits: 5,
		EffectiveAt: minute(-10), ExpiresAt: schemas.NoInstant,
	}}
	segments, err := balance.Segments(entries, minute(1))
	if err != nil || !slices.Equal(segments, []balance.Segment{{From: minute(-10), To: minute(1)}}) {
		t.Fatalf("segments %v, %v", segments, err)
	}
	explain(t, entries, []usage{{at: minute(0), micro: 2}}, minute(1))
}

func TestBurnWithoutLedgerOrUsageIsZero(t *testing.T) {
	state, movements := explain(t, nil, nil, minute(-1))
	if state.Remaining.Sign() != 0 || len(state.Grants) != 0 || len(movements) != 0 || state.ExpiresAt != schemas.NoInstant {
		t.Fatalf("%+v", *state)
	}
}

func TestEntriesThatNoDecoderLetsThroughAreRefused(t *testing.T) {
	grant := balance.Entry{Type: schemas.CreditsGranted, EventID: "1", GrantID: "a", Credits: 5, ExpiresAt: schemas.NoInstant}
	for name, change := range map[string]func(*balance.Entry){
		"no event_id":      func(e *balance.Entry) { e.EventID = "" },
		"no credits":       func(e *balance.Entry) { e.Credits = 0 },
		"negative credits": func(e *balance.Entry) { e.Credits = -1 },
		"no grant_id":      func(e *balance.Entry) { e.GrantID = "" },
		"no effective_at":  func(e *balance.Entry) { e.EffectiveAt = schemas.NoInstant },
		"a void of none":   func(e *balance.Entry) { e.Type, e.GrantID = schemas.GrantVoided, "" },
		"a consumption":    func(e *balance.Entry) { e.Type = schemas.CreditsConsumed },
	} {
		entry := grant
		change(&entry)
		if _, err := balance.Segments([]balance.Entry{entry}, 0); !errors.Is(err, balance.ErrEntry) {
			t.Errorf("%s: %v, want ErrEntry", name, err)
		}
		if _, err := balance.Burn([]balance.Entry{entry}, nil, 0); !errors.Is(err, balance.ErrEntry) {
			t.Errorf("%s: %v, want ErrEntry", name, err)
		}
	}
}
