package balance_test

import (
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// The scripts in testdata say the rules of DESIGN section 6 in words that a
// finance person can read and check. testdata/README.md explains them. Every
// expectation is computed from the lines above it, and every answer is checked
// for the identity and for movements that add up to it.

func TestScriptsSayWhatTheRulesAre(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts (%v)", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("cannot read %s: %v", file, err)
		}
		for _, story := range strings.Split(string(text), "\n== ")[1:] {
			title, _, _ := strings.Cut(story, "\n")
			line := 1 + strings.Count(string(text[:strings.Index(string(text), "\n== "+story)+1]), "\n")
			t.Run(strings.TrimSuffix(filepath.Base(file), ".script")+"/"+title, func(t *testing.T) {
				run := &script{T: t, file: file}
				for i, text := range strings.Split(story, "\n")[1:] {
					run.line = line + i + 1
					run.do(strings.Fields(text))
				}
				if run.expectations == 0 {
					t.Fatalf("%s:%d expects nothing", file, line)
				}
				run.everyInstant()
			})
		}
	}
}

type script struct {
	*testing.T
	file         string
	line         int
	entries      []balance.Entry
	usages       []usage
	expectations int
}

func (s *script) Fatalf(format string, args ...any) {
	s.Helper()
	s.T.Fatalf("%s:%d: %s", s.file, s.line, fmt.Sprintf(format, args...))
}

// do runs one line: an instant, a verb and its words.
func (s *script) do(words []string) {
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return
	}
	if len(words) < 3 {
		s.Fatalf("a line is: instant verb words")
	}
	at, verb, rest := s.instant(words[0]), words[1], words[2:]
	entry := balance.Entry{
		EventID: "line-" + strconv.Itoa(s.line), Offset: uint64(s.line), At: at,
		EffectiveAt: schemas.NoInstant, ExpiresAt: schemas.NoInstant,
	}
	switch verb {
	case "use":
		s.usages = append(s.usages, usage{at: at, micro: int(s.credits(rest[0]))})
	case "refund":
		s.usages = append(s.usages, usage{at: at, micro: -int(s.credits(rest[0]))})
	case "grant":
		s.entries = append(s.entries, s.grant(entry, rest))
	case "adjust":
		if n := len(rest); n > 2 && rest[n-2] == "as" {
			entry.EventID, rest = rest[n-1], rest[:n-2]
		}
		entry.Type, entry.Credits = schemas.CreditsAdjusted, s.credits(rest[len(rest)-1])
		if len(rest) == 2 {
			entry.GrantID = rest[0]
		}
		s.entries = append(s.entries, entry)
	case "void":
		entry.Type, entry.GrantID = schemas.GrantVoided, rest[0]
		s.entries = append(s.entries, entry)
	case "expect":
		s.expectations++
		s.expect(at, rest)
	default:
		s.Fatalf("unknown verb %q", verb)
	}
}

// grant reads: id credits [paid|promo] [priority N] [from instant] [to instant].
func (s *script) grant(e balance.Entry, words []string) balance.Entry {
	e.Type, e.GrantID, e.Credits = schemas.CreditsGranted, words[0], s.credits(words[1])
	e.Class, e.Priority, e.EffectiveAt = schemas.Paid, 100, e.At
	for words = words[2:]; len(words) > 0; words = words[1:] {
		switch words[0] {
		case "paid":
		case "promo":
			e.Class = schemas.Promo
		case "priority":
			n, err := strconv.ParseUint(words[1], 10, 16)
			if err != nil {
				s.Fatalf("priority %q: %v", words[1], err)
			}
			e.Priority, words = uint16(n), words[1:]
		case "from":
			e.EffectiveAt, words = s.instant(words[1]), words[1:]
		case "to":
			e.ExpiresAt, words = s.instant(words[1]), words[1:]
		default:
			s.Fatalf("unknown word %q of a grant", words[0])
		}
	}
	return e
}

// expect compares pairs of words with the state, a grant in it, or the
// movements at the instant.
func (s *script) expect(at schemas.Millis, words []string) {
	state, movements := explain(s, s.entries, s.usages, at)
	var facts map[string]string
	switch words[0] {
	case "grants":
		var ids []string
		for _, g := range state.Grants {
			ids = append(ids, g.GrantID)
		}
		if !slices.Equal(ids, words[1:]) {
			s.Fatalf("grants are %v", ids)
		}
		return
	case "moved":
		s.expectMoved(at, movements, words[1:])
		return
	case "history":
		s.expectHistory(at, words[1:])
		return
	case "grant":
		i := slices.IndexFunc(state.Grants, func(g balance.Grant) bool { return g.GrantID == words[1] })
		if i < 0 {
			s.Fatalf("no grant %s in %+v", words[1], state.Grants)
		}
		facts, words = grantFacts(&state.Grants[i]), words[2:]
	default:
		facts = stateFacts(state)
	}
	for ; len(words) > 1; words = words[2:] {
		if got, known := facts[words[0]]; !known {
			s.Fatalf("nothing is called %q, only %v", words[0], slices.Sorted(maps.Keys(facts)))
		} else if got != words[1] {
			s.Fatalf("%s is %s, not %s, in %v", words[0], got, words[1], facts)
		}
	}
	if len(words) != 0 {
		s.Fatalf("%q has no value", words[0])
	}
}

// expectMoved reads: kind grant credits [grant's next ...]; the overdraft is
// called overdraft. They must be all movements at or from the instant.
func (s *script) expectMoved(at schemas.Millis, movements []balance.Movement, want []string) {
	var got []string
	for _, m := range movements {
		if m.At == at {
			id := m.GrantID
			if id == "" {
				id = "overdraft"
			}
			got = append(got, string(m.Kind), id, m.Delta.String())
		}
	}
	if len(want) == 1 && want[0] == "nothing" {
		want = nil
	}
	if !slices.Equal(got, want) {
		s.Fatalf("moved %v", got)
	}
}

// expectHistory reads: what grant change = balance-after [| the next ...], for
// everything that happened up to the instant; what an entry that moved nothing
// says instead of a change is why.
func (s *script) expectHistory(at schemas.Millis, words []string) {
	var got []string
	after := schemas.Total{}
	for _, step := range stepsOf(s, s.entries, s.usages, at) {
		after = after.Add(step.Change)
		what := map[balance.StepKind]string{
			balance.Expires: "expiry", balance.TakesEffect: "grant", balance.Adjusts: "adjust", balance.Voids: "void", balance.Uses: "usage",
		}[step.Kind]
		change := step.Change.String()
		switch {
		case step.Change.Sign() > 0:
			change = "+" + change
		case step.Kind == balance.Uses || step.Kind == balance.Expires:
			if step.Change.Sign() == 0 {
				continue
			}
		case step.Unmoved != "":
			change = string(step.Unmoved)
		}
		if step.Entry != nil && step.Entry.GrantID != "" {
			what += " " + step.Entry.GrantID
		}
		got = append(got, what+" "+change+" = "+after.String())
	}
	if want := strings.Split(strings.Join(words, " "), " | "); !slices.Equal(got, want) {
		s.Fatalf("the history is %s", strings.Join(got, " | "))
	}
}

// everyInstant checks the identity, and all else that holds for every answer,
// at and around every instant of the story.
func (s *script) everyInstant() {
	instants := map[schemas.Millis]bool{balance.Beginning: true}
	add := func(t schemas.Millis) {
		for _, near := range []schemas.Millis{t - grid, t, t + 1, t + grid} {
			if t != schemas.NoInstant {
				instants[near] = true
			}
		}
	}
	for _, e := range s.entries {
		add(e.At)
		add(e.EffectiveAt)
		add(e.ExpiresAt)
	}
	for _, u := range s.usages {
		add(u.at)
	}
	for at := range instants {
		explain(s, s.entries, s.usages, at)
		stepsOf(s, s.entries, s.usages, at)
	}
}

func stateFacts(s *balance.State) map[string]string {
	facts := map[string]string{
		"remaining": s.Remaining.String(), "allocated": s.Allocated.String(), "used": s.Used.String(),
		"overdraft": s.Overdraft.String(), "expires": shortText(s.ExpiresAt), "days": strconv.FormatInt(s.DaysRemaining, 10),
		"period": shortText(s.Period.From) + ".." + shortText(s.Period.To), "granted": s.GrantedTotal.String(),
		"adjusted": s.AdjustedTotal.String(), "net-used": s.NetUsed.String(), "expired": s.ExpiredTotal.String(),
		"voided": s.VoidedTotal.String(), "unmatched": strconv.Itoa(len(s.Unmatched)),
	}
	if s.DaysRemaining == 0 {
		facts["days"] = "none"
	}
	return facts
}

func grantFacts(g *balance.Grant) map[string]string {
	return map[string]string{
		"status": string(g.Status), "credits": g.Credits.String(), "used": g.Used.String(),
		"remaining": g.Remaining.String(), "adjusted": g.Adjusted.String(), "expired": g.Expired.String(),
		"voided": g.Voided.String(), "from": shortText(g.EffectiveAt), "to": shortText(g.ExpiresAt),
		"class": map[schemas.Class]string{schemas.Paid: "paid", schemas.Promo: "promo"}[g.Class], "priority": strconv.Itoa(int(g.Priority)),
		"origin": string(g.Origin),
	}
}

const shortDay, shortMinute = "2006-01-02", "2006-01-02T15:04"

func shortText(t schemas.Millis) string {
	if t == schemas.NoInstant {
		return "never"
	}
	return strings.TrimSuffix(time.UnixMilli(int64(t)).UTC().Format(shortMinute), "T00:00")
}

// instant reads a day or a minute in UTC.
func (s *script) instant(word string) schemas.Millis {
	for _, layout := range []string{shortDay, shortMinute} {
		if t, err := time.Parse(layout, word); err == nil {
			return schemas.Millis(t.UnixMilli())
		}
	}
	s.Fatalf("%q is neither %s nor %s", word, shortDay, shortMinute)
	return 0
}

func (s *script) credits(word string) schemas.Credits {
	amount, ok := new(big.Rat).SetString(strings.ReplaceAll(word, ",", ""))
	if !ok {
		s.Fatalf("%q is no amount", word)
	}
	amount.Mul(amount, big.NewRat(schemas.MicrosPerCredit, 1))
	if !amount.IsInt() || !amount.Num().IsInt64() {
		s.Fatalf("%q is no number of micro-credits", word)
	}
	return schemas.Credits(amount.Num().Int64())
}
