package alerts_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/aggregator/alerts"
	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
)

// The scripts in testdata tell thirty days of a workspace and which alerts
// there are, all of them, in words that a finance person can read and check.
// testdata/README.md explains them.

func TestScriptsSayWhichAlertsThereAre(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts (%v)", err)
	}
	kinds := map[schemas.AlertKind]int{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("cannot read %s: %v", file, err)
		}
		line := 1
		for n, story := range strings.Split(string(text), "\n== ") {
			title, body, _ := strings.Cut(story, "\n")
			if n > 0 {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".script")+"/"+title, func(t *testing.T) {
					s := &script{T: t, file: file, world: newWorld(), expected: map[string][]string{}}
					for i, text := range strings.Split(body, "\n") {
						s.line = line + i + 1
						s.do(strings.Fields(text))
					}
					s.run()
					for _, rule := range s.rules {
						kinds[rule.Kind]++
					}
				})
			}
			line += strings.Count(story, "\n") + 1
		}
	}
	for _, kind := range schemas.AlertKinds {
		if kinds[kind] == 0 {
			t.Errorf("no story about %s", kind)
		}
	}
}

type script struct {
	*testing.T
	file     string
	line     int
	world    *world
	rules    []schemas.AlertRule
	changes  []change
	stalls   []balance.Period
	expected map[string][]string // by rule and subject
	says     []saying
}

// change is what happens to a rule.
type change struct {
	at   schemas.Millis
	rule int
	to   func(*schemas.AlertRule)
}

type saying struct {
	rule string
	at   schemas.Millis
	text string
}

func (s *script) Fatalf(format string, args ...any) {
	s.Helper()
	s.T.Fatalf("%s:%d: %s", s.file, s.line, fmt.Sprintf(format, args...))
}

// do runs one line.
func (s *script) do(words []string) {
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return
	}
	switch verb := words[0]; {
	case verb == "name":
		s.world.name = strings.Join(words[1:], " ")
	case verb == "expect":
		s.expect(words[1:])
	case verb == "says":
		s.says = append(s.says, saying{words[1], s.instant(words[2]), strings.Join(words[3:], " ")})
	case verb == "rule":
		s.rules = append(s.rules, s.rule(words[1], schemas.AlertKind(words[2]), strings.Join(words[3:], " ")))
	case len(words) < 3:
		s.Fatalf("a line is: instant verb words")
	default:
		s.at(s.instant(words[0]), words[1], words[2:])
	}
}

func (s *script) rule(id string, kind schemas.AlertKind, params string) schemas.AlertRule {
	if kind == schemas.Freshness {
		id = schemas.FreshnessRuleID
	}
	rule := ruleOf(s, kind, params)
	rule.RuleID = id
	if err := rule.Validate(); err != nil {
		s.Fatalf("%v", err)
	}
	return rule
}

// at is what happens at an instant.
func (s *script) at(at schemas.Millis, verb string, words []string) {
	w := s.world
	entry := balance.Entry{
		EventID: "line-" + strconv.Itoa(s.line), Offset: uint64(s.line), At: at,
		EffectiveAt: schemas.NoInstant, ExpiresAt: schemas.NoInstant,
	}
	switch verb {
	case "use", "refund":
		sign := map[string]int64{"use": 1, "refund": -1}[verb]
		w.use(at, s.word(words, "by"), sign*int64(s.credits(words[0])))
	case "burn":
		// So much an hour, in four parts.
		quarter := int64(s.credits(words[0])) / 4
		for to := s.instant(s.word(words, "to")); at < to; at += 15 * minute {
			w.use(at, s.word(words, "by"), quarter)
		}
	case "grant":
		entry.Type, entry.GrantID, entry.Credits = schemas.CreditsGranted, words[0], s.credits(words[1])
		entry.Class, entry.Priority, entry.EffectiveAt = schemas.Paid, 100, at
		if from := s.word(words, "from"); from != "" {
			entry.EffectiveAt = s.instant(from)
		}
		if to := s.word(words, "to"); to != "" {
			entry.ExpiresAt = s.instant(to)
		}
		w.entries = append(w.entries, entry)
	case "adjust":
		entry.Type, entry.GrantID, entry.Credits = schemas.CreditsAdjusted, words[0], s.credits(words[1])
		w.entries = append(w.entries, entry)
	case "void":
		entry.Type, entry.GrantID, entry.Credits = schemas.GrantVoided, words[0], 0
		w.entries = append(w.entries, entry)
	case "campaign":
		s.campaign(at, words)
	case "stall":
		s.stalls = append(s.stalls, balance.Period{From: at, To: s.instant(s.word(words, "to"))})
	default:
		s.change(at, verb, words)
	}
}

func (s *script) campaign(at schemas.Millis, words []string) {
	w, id := s.world, words[0]
	if !slices.Contains(w.ids, id) {
		w.ids = append(w.ids, id)
		slices.Sort(w.ids)
	}
	state := alerts.CampaignState{At: at, Status: words[1], EndsAt: schemas.NoInstant}
	if quota := s.word(words, "quota"); quota != "" {
		state.Quota, state.HasQuota = s.credits(quota), true
	}
	if ends := s.word(words, "ends"); ends != "" {
		state.EndsAt = s.instant(ends)
	}
	w.states[id] = append(w.states[id], state)
}

// change is what somebody does to a rule.
func (s *script) change(at schemas.Millis, verb string, words []string) {
	id := words[0]
	i := slices.IndexFunc(s.rules, func(r schemas.AlertRule) bool { return r.RuleID == id })
	if i < 0 {
		s.Fatalf("no rule %q to %s", id, verb)
	}
	to := map[string]func(*schemas.AlertRule){
		"switch": func(r *schemas.AlertRule) { r.Enabled = words[1] == "on" },
		"delete": func(r *schemas.AlertRule) { r.Deleted = true },
		"silence": func(r *schemas.AlertRule) {
			r.SilencedUntil = s.instant(words[2])
		},
		"change": func(r *schemas.AlertRule) { r.Params = s.rule(id, r.Kind, strings.Join(words[1:], " ")).Params },
	}[verb]
	if to == nil {
		s.Fatalf("unknown verb %q", verb)
	}
	s.changes = append(s.changes, change{at, i, to})
}

// word is the word after a name.
func (s *script) word(words []string, name string) string {
	if i := slices.Index(words, name); i >= 0 && i+1 < len(words) {
		return words[i+1]
	}
	return ""
}

// expect reads: rule [of subject] nothing | episodes, each `fires INSTANT to
// INSTANT` (or `to open`), and maybe `silent` after it.
func (s *script) expect(words []string) {
	key, rest := words[0], words[1:]
	if rest[0] == "of" {
		key, rest = key+" "+rest[1], rest[2:]
	}
	if _, twice := s.expected[key]; twice {
		s.Fatalf("%s is expected twice", key)
	}
	s.expected[key] = []string{}
	if text := strings.Join(rest, " "); text != "nothing" {
		s.expected[key] = strings.Split(strings.TrimPrefix(text, "fires "), " fires ")
	}
}

// Looks are every five minutes.
const lookEvery = 5 * minute

// run lives through the thirty days, restarts once a day, and compares.
func (s *script) run() {
	if len(s.expected) == 0 {
		s.Fatalf("expects nothing")
	}
	s.world.sum()
	var (
		tb     table
		told   = map[string]bool{}
		book   = alerts.Book{}
		watch  alerts.Watch
		recent []*alerts.Figures
		text   = map[string]string{}
	)
	rules := slices.Clone(s.rules)
	for now := runFrom; now <= runTo; now += lookEvery {
		for _, c := range s.changes {
			if c.at > now-lookEvery && c.at <= now {
				changed := rules[c.rule]
				c.to(&changed)
				rules[c.rule] = changed.After(rules[c.rule])
			}
		}
		watermark := now
		for _, stall := range s.stalls {
			if now >= stall.From && now < stall.To {
				watermark = stall.From
			}
		}
		if now%day == 0 {
			book = alerts.Restore(tb.rows)
			book.Recall(rules, recent...)
		}
		watch = watch.See(watermark, now)
		transitions := book.Observe(rules, watch, s.world.name, now)
		if !watch.Stale(now) {
			figures := s.world.figures(s, watermark, watermark)
			transitions = append(transitions, book.Advance(rules, figures)...)
			recent = append(recent, figures)
			recent = recent[max(len(recent)-2, 0):] // Hold is a look long
		}
		tb.record(transitions)
		for _, tr := range transitions {
			told[tr.IncidentID+string(tr.State)] = tr.Deliver
			text[tr.RuleID+" "+tr.At.String()] = tr.Message
		}
	}
	s.compare(tb.rows, told)
	for _, want := range s.says {
		if got := text[want.rule+" "+want.at.String()]; got != want.text {
			s.Errorf("%s: %s says\n%q, not\n%q", s.file, want.rule, got, want.text)
		}
	}
}

func (s *script) compare(rows []schemas.AlertChange, told map[string]bool) {
	open := map[string]string{}
	got := map[string][]string{}
	for key := range s.expected {
		got[key] = []string{}
	}
	for _, row := range rows {
		key := strings.TrimSuffix(row.RuleID+" "+row.Subject, " ")
		at := shortText(row.At)
		switch row.State {
		case schemas.AlertFiring:
			open[row.IncidentID] = at
		case schemas.AlertResolved:
			if from, fired := open[row.IncidentID]; fired {
				episode := from + " to " + at
				if !told[row.IncidentID+string(row.State)] {
					episode += " silent"
				}
				got[key] = append(got[key], episode)
				delete(open, row.IncidentID)
			} else if told[row.IncidentID+string(row.State)] {
				s.Errorf("%s: told of the end of what never fired: %+v", s.file, row)
			}
		}
	}
	for id, from := range open {
		i := slices.IndexFunc(rows, func(r schemas.AlertChange) bool { return r.IncidentID == id })
		key := strings.TrimSuffix(rows[i].RuleID+" "+rows[i].Subject, " ")
		got[key] = append(got[key], from+" to open")
	}
	for key, episodes := range got {
		slices.Sort(episodes)
		if want := s.expected[key]; !slices.Equal(episodes, want) {
			s.Errorf("%s: %s fires %s, not %s", s.file, key, strings.Join(episodes, ", "), strings.Join(want, ", "))
		}
	}
}

func shortText(t schemas.Millis) string {
	return strings.TrimSuffix(t.Time().Format("2006-01-02T15:04"), "T00:00")
}

// instant reads a day or a minute in UTC.
func (s *script) instant(word string) schemas.Millis {
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, word); err == nil {
			return schemas.MillisOf(t)
		}
	}
	s.Fatalf("%q is no day and no minute", word)
	return 0
}

func (s *script) credits(word string) schemas.Credits {
	c, err := schemas.ParseCredits(strings.ReplaceAll(word, ",", ""))
	if err != nil {
		s.Fatalf("%v", err)
	}
	return c
}
