package alerts_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/schemas"
)

// table models alert_incidents: of the rows with one token the first stands.
type table struct {
	rows   []schemas.AlertChange
	tokens map[string]bool
}

func (tb *table) record(transitions []alerts.Transition) {
	for _, tr := range transitions {
		if tb.tokens == nil {
			tb.tokens = map[string]bool{}
		}
		if !tb.tokens[tr.Token()] {
			tb.tokens[tr.Token()] = true
			tb.rows = append(tb.rows, tr.AlertChange)
		}
	}
}

// look is what a rule of balance_below with a threshold of 100 and a
// hysteresis of 10 % sees.
type look struct {
	at   schemas.Millis
	left int64 // credits; below 0: not known
}

// What the looks say.
func (l look) met() bool     { return l.left >= 0 && l.left <= 100 }
func (l look) cleared() bool { return l.left > 110 }
func (l look) unknown() bool { return l.left < 0 }

func (l look) figures() *alerts.Figures {
	f := figuresAt(l.at)
	f.Granted = !l.unknown()
	f.Remaining = schemas.TotalOf(l.left * schemas.MicrosPerCredit)
	return f
}

// drawLooks draws looks that stay for a while, as figures do, and jump, as
// they do too; evenly, because of rapid's own numbers most are small.
func drawLooks(t *rapid.T) []look {
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
	at, left := noon, int64(500)
	var looks []look
	for range 1 + r.IntN(120) {
		at += schemas.Millis(1+r.IntN(150)) * 1000
		if r.IntN(4) == 0 {
			left = []int64{-1, 50, 100, 101, 110, 111, 500}[r.IntN(7)]
		}
		looks = append(looks, look{at, left})
	}
	return looks
}

func drawRule(t *rapid.T) schemas.AlertRule {
	return ruleOf(t, schemas.BalanceBelow, fmt.Sprintf(`{"credits":100,"for":%d}`, rapid.SampledFrom([]int{0, 0, 1, 5, 12}).Draw(t, "for")))
}

// expected is rule 12 in the words of the history of looks, from the start of
// time at every look.
func expected(rule schemas.AlertRule, looks []look) (changes []string) {
	say := func(n int, state schemas.AlertState, at schemas.Millis) {
		changes = append(changes, fmt.Sprintf("%d %s %v", n, state, at))
	}
	overSince := func(i int) schemas.Millis {
		since := looks[i].at
		for ; i >= 0 && looks[i].cleared(); i-- {
			since = looks[i].at
		}
		return since
	}
	incidents, open, fired, begun := 0, false, false, 0
	for i, l := range looks {
		switch {
		case l.unknown():
		case !open && l.met():
			incidents, open, fired, begun = incidents+1, true, rule.Params.For == 0, i
			say(incidents, map[bool]schemas.AlertState{true: schemas.AlertFiring, false: schemas.AlertPending}[fired], l.at)
		case open && !fired && !l.met():
			open = false
			say(incidents, schemas.AlertResolved, l.at)
		case open && !fired && l.at-looks[begun].at >= schemas.Millis(rule.Params.For.Milliseconds()):
			fired = true
			begun = i
			say(incidents, schemas.AlertFiring, l.at)
		case open && fired && l.cleared() && l.at-overSince(i) >= schemas.Millis(alerts.Hold.Milliseconds()):
			open = false
			say(incidents, schemas.AlertResolved, l.at)
		}
	}
	return changes
}

func said(rows []schemas.AlertChange) (changes []string) {
	for _, row := range rows {
		changes = append(changes, fmt.Sprintf("%d %s %v", row.Sequence, row.State, row.At))
	}
	return changes
}

// TestIncidentsAreThoseOfTheHistoryWhateverRestarts compares with the history,
// with and without restarts that keep nothing but rows, at every look.
func TestIncidentsAreThoseOfTheHistoryWhateverRestarts(t *testing.T) {
	ended := 0
	defer func() {
		if ended < 10 {
			t.Errorf("only %d incidents fired and ended", ended)
		}
	}()
	rapid.Check(t, func(t *rapid.T) {
		rule, looks := drawRule(t), drawLooks(t)
		rules := []schemas.AlertRule{rule}
		want := expected(rule, looks)
		restarts := rapid.SampledFrom([]string{"never", "always", "sometimes"}).Draw(t, "restarts")
		var tb table
		book := alerts.Book{}
		for i, l := range looks {
			if restarts == "always" || restarts == "sometimes" && rapid.Bool().Draw(t, "restart") {
				// Rows come in any order.
				rows := rapid.Permutation(tb.rows).Draw(t, "rows")
				book = alerts.Restore(rows)
				recalled := looks[:i]
				if !book.Clearing(rules, l.figures()) {
					recalled = nil // there is nothing to recall
				}
				for _, past := range recalled {
					if i > 0 && past.at >= looks[i-1].at-schemas.Millis(alerts.Hold.Milliseconds()) {
						book.Recall(rules, past.figures())
					}
				}
			}
			tb.record(book.Advance(rules, l.figures()))
			if again := book.Advance(rules, l.figures()); len(again) > 0 {
				t.Fatalf("the same look twice: %+v", again)
			}
			book.Read(tb.rows)
		}
		for _, row := range tb.rows {
			if row.State == schemas.AlertResolved && !strings.Contains(row.Detail, "never_fired") {
				ended++
			}
		}
		if got := said(tb.rows); !slices.Equal(got, want) {
			t.Fatalf("restarts %s, looks %v:\n%v, not\n%v", restarts, looks, got, want)
		}
		checkRows(t, rule, tb.rows)
	})
}

// TestARestartThatRecallsNothingOnlyProlongs: without Recall nothing begins
// that would not have, nothing fires earlier or that would not have, and each
// incident that is prolonged contains those it swallowed.
func TestARestartThatRecallsNothingOnlyProlongs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule, looks := drawRule(t), drawLooks(t)
		rules := []schemas.AlertRule{rule}
		var usual, restarted table
		a, b := alerts.Book{}, alerts.Book{}
		for _, l := range looks {
			usual.record(a.Advance(rules, l.figures()))
			if rapid.Bool().Draw(t, "restart") {
				b = alerts.Restore(restarted.rows)
			}
			restarted.record(b.Advance(rules, l.figures()))
			fires, firesRestarted := isFiring(a), isFiring(b)
			if fires && !firesRestarted && rule.Params.For == 0 {
				t.Fatalf("at %v something fires that a restart lost", l.at)
			}
			if firesRestarted && !fires && l.met() && rule.Params.For == 0 {
				t.Fatalf("at %v something fires by a restart", l.at)
			}
		}
		checkRows(t, rule, restarted.rows)
	})
}

func isFiring(b alerts.Book) bool {
	for _, s := range b {
		if s.Phase == schemas.AlertFiring {
			return true
		}
	}
	return false
}

// checkRows checks what holds for all rows of one subject: incidents follow
// each other, states are in order, and one id is one incident's.
func checkRows(t *rapid.T, rule schemas.AlertRule, rows []schemas.AlertChange) {
	rows = slices.Clone(rows)
	rank := map[schemas.AlertState]int{schemas.AlertPending: 0, schemas.AlertFiring: 1, schemas.AlertResolved: 2}
	slices.SortFunc(rows, func(a, b schemas.AlertChange) int {
		return cmp.Or(cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(rank[a.State], rank[b.State]))
	})
	ids := map[string]uint32{}
	for i, row := range rows {
		if n, known := ids[row.IncidentID]; known && n != row.Sequence || len(row.IncidentID) != 32 {
			t.Fatalf("incident %q is number %d and %d", row.IncidentID, n, row.Sequence)
		}
		ids[row.IncidentID] = row.Sequence
		if i == 0 {
			if row.Sequence != 1 {
				t.Fatalf("begins with %+v", row)
			}
			continue
		}
		before := rows[i-1]
		switch {
		case row.At < before.At:
			t.Fatalf("%+v after %+v", row, before)
		case row.Sequence == before.Sequence && row.IncidentID != before.IncidentID:
			t.Fatalf("%+v is not of %+v", row, before)
		case row.Sequence != before.Sequence && (before.State != schemas.AlertResolved || row.Sequence != before.Sequence+1):
			t.Fatalf("%+v follows %+v", row, before)
		case row.Sequence != before.Sequence && (row.State == schemas.AlertPending) != (rule.Params.For > 0):
			t.Fatalf("%+v begins an incident", row)
		}
	}
}

// TestTwoEvaluatorsRecordOneIncidentPerCrossing: two evaluators look at other
// instants, and one may record between the other's reading and recording. They
// read before each look, or only once they have something to record.
func TestTwoEvaluatorsRecordOneIncidentPerCrossing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := ruleOf(t, schemas.BalanceBelow, `{"credits":100}`)
		rules := []schemas.AlertRule{rule}
		// The truth: stretches of half an hour or more below and above the
		// threshold, of which everybody sees each.
		var edges []schemas.Millis
		at := noon
		for range rapid.IntRange(0, 7).Draw(t, "edges") {
			at += schemas.Millis(rapid.IntRange(30, 120).Draw(t, "minutes"))*minute + 1
			edges = append(edges, at)
		}
		end := at + hour
		leftAt := func(at schemas.Millis) int64 {
			n, _ := slices.BinarySearch(edges, at+1)
			return []int64{500, 50}[n%2]
		}
		before := rapid.Bool().Draw(t, "reads before")
		var tb table
		books := [2]alerts.Book{{}, {}}
		next := [2]schemas.Millis{noon, noon}
		for {
			who := 0
			if next[1] < next[0] {
				who = 1
			}
			if next[who] > end {
				break
			}
			pair := []int{who}
			if rapid.IntRange(0, 3).Draw(t, "together") == 0 {
				pair = []int{who, 1 - who}
			}
			var moved [2][]alerts.Transition
			for _, i := range pair {
				if before {
					books[i].Read(tb.rows)
				}
				moved[i] = books[i].Advance(rules, look{next[i], leftAt(next[i])}.figures())
				next[i] += schemas.Millis(rapid.IntRange(5, 240).Draw(t, "seconds")) * 1000
			}
			if rapid.Bool().Draw(t, "the other first") {
				slices.Reverse(pair)
			}
			for _, i := range pair {
				if tb.record(moved[i]); len(moved[i]) > 0 {
					books[i].Read(tb.rows)
				}
			}
		}
		checkRows(t, rule, tb.rows)
		firing := 0
		for _, row := range tb.rows {
			if row.State == schemas.AlertFiring {
				if leftAt(row.At) > 100 {
					t.Fatalf("%+v fires above the threshold", row)
				}
				firing++
			}
		}
		if want := (len(edges) + 1) / 2; firing != want {
			t.Fatalf("%d crossings, %d incidents: %v", want, firing, said(tb.rows))
		}
	})
}

// TestAFigureAroundTheThresholdDoesNotFlap: neither within hysteresis nor
// across it is there more than one incident while it comes back within Hold.
func TestAFigureAroundTheThresholdDoesNotFlap(t *testing.T) {
	for _, levels := range [][]int64{{100, 101}, {99, 110}, {50, 500}, {50, 500, 500, 500, 500}, {0, -1, 500}} {
		rule := ruleOf(t, schemas.BalanceBelow, `{"credits":100}`)
		book, told := alerts.Book{}, 0
		for i := range 1000 {
			for _, tr := range book.Advance([]schemas.AlertRule{rule}, look{noon + schemas.Millis(i)*minute, levels[i%len(levels)]}.figures()) {
				if tr.Deliver {
					told++
				}
			}
		}
		if told != 1 {
			t.Errorf("%v: told %d times", levels, told)
		}
	}
}

// TestALookBehindTheLastRowChangesNothing: a new owner's watermark may be behind
// that of the old one. What is no longer looked at ends even then, and no
// earlier than its last row.
func TestALookBehindTheLastRowChangesNothing(t *testing.T) {
	rule := ruleOf(t, schemas.BalanceBelow, `{"credits":100,"for":10}`)
	rules := []schemas.AlertRule{rule}
	book := alerts.Book{}
	book.Advance(rules, look{noon, 50}.figures())
	if moved := book.Advance(rules, look{noon - minute, 500}.figures()); len(moved) != 0 {
		t.Errorf("%+v", moved)
	}
	if moved := book.Advance(nil, look{noon - minute, 500}.figures()); len(moved) != 1 || moved[0].At != noon {
		t.Errorf("%+v", moved)
	}
}

// TestAnotherIncidentIsNotOverSinceThisOne: what another evaluator ended and
// began again begins anew here, too.
func TestAnotherIncidentIsNotOverSinceThisOne(t *testing.T) {
	rules := []schemas.AlertRule{ruleOf(t, schemas.BalanceBelow, `{"credits":100}`)}
	var tb table
	ours, theirs := alerts.Book{}, alerts.Book{}
	see := func(book alerts.Book, after schemas.Millis, left int64) {
		book.Read(tb.rows)
		tb.record(book.Advance(rules, look{noon + after*minute, left}.figures()))
	}
	see(theirs, 0, 50)
	see(theirs, 1, 500)
	see(ours, 1, 500)
	see(theirs, 6, 500) // resolved
	see(theirs, 7, 50)  // again
	see(ours, 8, 500)
	if got := said(tb.rows); len(got) != 3 {
		t.Fatalf("%v", got)
	}
	see(ours, 12, 500)
	see(ours, 13, 500)
	if got := said(tb.rows); len(got) != 4 || !strings.HasPrefix(got[3], "2 resolved 2025-11-21T12:13") {
		t.Errorf("%v", got)
	}
}

// TestNothingIsRecalledOfBeforeItFired: figures of before say nothing of for how
// long it is over.
func TestNothingIsRecalledOfBeforeItFired(t *testing.T) {
	rules := []schemas.AlertRule{ruleOf(t, schemas.BalanceBelow, `{"credits":100}`)}
	var tb table
	tb.record(alerts.Book{}.Advance(rules, look{noon, 50}.figures()))
	book := alerts.Restore(tb.rows)
	book.Recall(rules, look{noon - minute, 500}.figures())
	if moved := book.Advance(rules, look{noon + 4*minute, 500}.figures()); len(moved) != 0 {
		t.Errorf("%+v", moved)
	}
}

// TestTwoIncidentsOfOneMinuteAreTwo: a condition may begin twice in it.
func TestTwoIncidentsOfOneMinuteAreTwo(t *testing.T) {
	rules := []schemas.AlertRule{ruleOf(t, schemas.BalanceBelow, `{"credits":100,"for":1}`)}
	book, ids := alerts.Book{}, map[string]bool{}
	for i, left := range []int64{50, 500, 50} {
		for _, tr := range book.Advance(rules, look{noon + schemas.Millis(i)*1000, left}.figures()) {
			ids[tr.IncidentID] = true
		}
	}
	if len(ids) != 2 {
		t.Errorf("%d incidents", len(ids))
	}
}

func TestPeopleAreToldOfWhatFiresAndOfItsEndUnlessSilent(t *testing.T) {
	rule := ruleOf(t, schemas.BalanceBelow, `{"credits":100,"for":2}`)
	run := func() (told []string) {
		book := alerts.Book{}
		for i, left := range []int64{50, 500, 50, 50, 50, 500, 500, 500, 500, 500, 500, 500} {
			for _, tr := range book.Advance([]schemas.AlertRule{rule}, look{noon + schemas.Millis(i)*minute, left}.figures()) {
				told = append(told, fmt.Sprintf("%d %d %s %v", i, tr.Sequence, tr.State, tr.Deliver))
			}
		}
		return told
	}
	want := []string{"0 1 pending false", "1 1 resolved false", "2 2 pending false", "4 2 firing true", "10 2 resolved true"}
	if got := run(); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	rule.SilencedUntil = noon + 5*minute
	want[3] = "4 2 firing false"
	if got := run(); !slices.Equal(got, want) {
		t.Errorf("silent: %v", got)
	}
}

// TestWhatIsNoLongerLookedAtEnds is rule 15.
func TestWhatIsNoLongerLookedAtEnds(t *testing.T) {
	quota := func(ids ...string) *alerts.Figures {
		f := figuresAt(noon)
		for _, id := range ids {
			f.Campaigns = append(f.Campaigns, alerts.Campaign{ID: id, Status: "ACTIVE", HasQuota: true, Quota: 1, Used: schemas.TotalOf(2)})
		}
		return f
	}
	rule := ruleOf(t, schemas.QuotaUsed, `{"percent":100}`)
	changed := rule
	changed.Params.Percent--
	changed = changed.After(rule)
	renamed := rule
	renamed.Name = "other"
	renamed = renamed.After(rule)
	off, deleted, other := rule, rule, rule
	off.Enabled, deleted.Deleted, other.Kind, other.Revision = false, true, schemas.BalanceBelow, 2
	other.Params = ruleOf(t, schemas.BalanceBelow, `{"credits":0}`).Params
	for name, c := range map[string]struct {
		rules   []schemas.AlertRule
		figures *alerts.Figures
		want    []string
	}{
		"nothing":   {[]schemas.AlertRule{rule}, quota("a", "b"), nil},
		"renamed":   {[]schemas.AlertRule{renamed}, quota("a", "b"), nil},
		"off":       {[]schemas.AlertRule{off}, quota("a", "b"), []string{"a 1 quota_used resolved rule_disabled", "b 1 quota_used resolved rule_disabled"}},
		"deleted":   {[]schemas.AlertRule{deleted}, quota("a", "b"), []string{"a 1 quota_used resolved rule_deleted", "b 1 quota_used resolved rule_deleted"}},
		"gone":      {nil, quota("a", "b"), []string{"a 1 quota_used resolved rule_deleted", "b 1 quota_used resolved rule_deleted"}},
		"no quota":  {[]schemas.AlertRule{rule}, quota("b"), []string{"a 1 quota_used resolved subject_gone"}},
		"other":     {[]schemas.AlertRule{other}, quota("a", "b"), []string{"a 1 quota_used resolved rule_changed", "b 1 quota_used resolved rule_changed"}},
		"a quarter": {[]schemas.AlertRule{changed}, quota("a"), []string{"a 2 quota_used firing ", "a 1 quota_used resolved rule_changed", "b 1 quota_used resolved rule_changed"}},
	} {
		book := alerts.Book{}
		var tb table
		tb.record(book.Advance([]schemas.AlertRule{rule}, quota("a", "b")))
		if len(tb.rows) != 2 {
			t.Fatalf("%+v", tb.rows)
		}
		var got []string
		// From rows alone, and twice, for it must end once.
		book = alerts.Restore(tb.rows)
		c.figures.At += 7 * minute
		for range 2 {
			for _, tr := range book.Advance(c.rules, c.figures) {
				got = append(got, fmt.Sprintf("%s %d %s %s %s", tr.Subject, tr.RuleRevision, tr.Kind, tr.State, tr.Reason))
				if !tr.Deliver || tr.Message == "" || tr.WorkspaceID != rule.WorkspaceID {
					t.Errorf("%s: %+v", name, tr)
				}
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestFreshnessIsOneAlertWhateverElseIsOpen: rules go neither on nor off while
// the watermark stands still, and Advance leaves freshness alone.
func TestFreshnessIsOneAlertWhateverElseIsOpen(t *testing.T) {
	rules := schemas.DefaultAlertRules("acme")
	book, watch := alerts.Book{}, alerts.Watch{}
	var tb table
	second := schemas.Millis(1000)
	for i := range schemas.Millis(3600) {
		now := noon + i*second
		// It stands still from the 10th to the 30th minute.
		watermark := now - second
		if i >= 600 && i < 1800 {
			watermark = noon + 599*second
		}
		watch = watch.See(watermark, now)
		tb.record(book.Observe(rules, watch, "Acme", now))
		if !watch.Stale(now) && i%10 == 0 {
			tb.record(book.Advance(rules, look{watermark, 50}.figures()))
		}
		// Whoever looks restarts all the time, until it moves again.
		if i%100 == 0 && i <= 1800 {
			book, watch = alerts.Restore(tb.rows), alerts.Watch{}
		}
	}
	var got []string
	for _, row := range tb.rows {
		if row.Kind == schemas.Freshness {
			got = append(got, fmt.Sprintf("%d %s %d", row.Sequence, row.State, (row.At-noon)/second))
		} else if row.State == schemas.AlertResolved || row.At > noon+10*second {
			t.Errorf("%+v", row)
		}
	}
	// A minute after the restart in the minute in which it stopped; five after
	// it was seen to move again.
	if want := []string{"1 firing 661", "1 resolved 2102"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestTheSameRuleElsewhereIsAnotherIncident: default rules have the same ids in
// every workspace.
func TestTheSameRuleElsewhereIsAnotherIncident(t *testing.T) {
	ids := map[string]bool{}
	for _, workspace := range []string{"a", "b"} {
		for _, tr := range (alerts.Book{}).Advance(schemas.DefaultAlertRules(workspace), look{noon, 0}.figures()) {
			ids[tr.IncidentID] = true
		}
	}
	if len(ids) != 2*3 { // a tenth left, exhausted, and no runway
		t.Errorf("%d incidents", len(ids))
	}
}

// TestNoZoneAndNoClockChangeMatters: figures around the end of summer time say
// the same in every zone; only dates in messages may differ.
func TestNoZoneAndNoClockChangeMatters(t *testing.T) {
	berlin, err := schemas.LoadZone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	rules := schemas.DefaultAlertRules("acme")
	run := func(zone *time.Location) (said []string) {
		book := alerts.Book{}
		for i := range schemas.Millis(3 * 24 * 4) {
			at := schemas.MillisOf(time.Date(2025, 10, 25, 0, 0, 0, 0, time.UTC)) + i*quarter
			f := look{at, 2100 - 7*int64(i)}.figures()
			f.Zone, f.Runway = zone, alerts.Runway{ExhaustsAt: at + 9*day - i*quarter, Method: "run_rate"}
			for _, tr := range book.Advance(rules, f) {
				said = append(said, fmt.Sprintf("%s %s %v %s", tr.IncidentID, tr.State, tr.At, tr.Detail))
			}
		}
		return said
	}
	if utc, local := run(nil), run(berlin); len(utc) < 3 || !slices.Equal(utc, local) {
		t.Errorf("%q, not %q", local, utc)
	}
}
