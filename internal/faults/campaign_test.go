package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
)

func TestMain(m *testing.M) {
	for variable, be := range map[string]func(settings string) error{brokerVariable: runBroker, skewedVariable: runSkewed} {
		if settings := os.Getenv(variable); settings != "" {
			if err := be(settings); err != nil {
				_, _ = fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	storetest.Main(m)
}

const (
	// shortFaults is the campaign of every run of the tests: each kind once, and
	// about three minutes.
	shortFaults, shortSeed = 0, 20261126
	// round is how many faults there are between two comparisons.
	round = 4
	// recoverWithin bounds how long recovery takes: seconds on a machine of its own,
	// minutes where fifty other processes want its two cores.
	recoverWithin = 10 * time.Minute
)

// settings of a campaign come from the environment, as make faults sets it.
type settings struct {
	broker string
	faults int // 0: each kind once
	seed   uint64
	only   []string // kinds; none: all
	report string   // file, "": none
}

func readSettings(t *testing.T) settings {
	s := settings{broker: cmp.Or(os.Getenv("BROKER"), "kfake"), faults: shortFaults, seed: shortSeed, report: os.Getenv("FAULTS_REPORT")}
	var err error
	if text := os.Getenv("FAULTS"); text != "" {
		if s.faults, err = strconv.Atoi(text); err != nil {
			t.Fatalf("FAULTS=%s: want a number", text)
		}
		s.seed = rand.Uint64() >> 32
	}
	if text := os.Getenv("SEED"); text != "" {
		if s.seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SEED=%s: want a number", text)
		}
	}
	if text := os.Getenv("FAULTS_KINDS"); text != "" {
		s.only = strings.Split(text, ",")
	}
	return s
}

// campaign is one run.
type campaign struct {
	settings
	t       *testing.T
	s       *stack
	load    *load
	extra   *member    // who comes and goes beside the usual members
	rng     *rand.Rand // of the deck, then of one fault
	began   time.Time
	history []fired
	figures int // compared
	rounds  int
}

// fired is a fault of the history.
type fired struct {
	kind     string
	what     string        // whom it met and how
	recovery time.Duration // until all was counted again; negative: not waited for
}

func (f fired) String() string { return f.kind + ": " + f.what }

func TestCampaign(t *testing.T) {
	run(t, readSettings(t))
}

// run runs a campaign to its end.
func run(t *testing.T, settings settings) *campaign {
	t.Helper()
	c := newCampaign(t, settings)
	deck := c.deck()
	for i, k := range deck {
		c.fire(i, len(deck), k)
		if (i+1)%round == 0 || k.alone || i == len(deck)-1 {
			c.compare()
		}
	}
	c.end()
	return c
}

func newCampaign(t *testing.T, settings settings) *campaign {
	t.Helper()
	t.Logf("seed %d on %s: replay with make faults FAULTS=%d SEED=%d BROKER=%s", settings.seed, settings.broker, settings.faults, settings.seed, settings.broker)
	c := &campaign{settings: settings, t: t, rng: rand.New(rand.NewPCG(settings.seed, 0)), began: time.Now()}
	c.s = newStack(t, settings.broker)
	c.load = startLoad(t, c.s, settings.seed)
	c.s.startAll()
	c.must(c.s.recovered(startWithin))
	return c
}

// deck is what will happen: all kinds in a drawn order, again and again, the
// rarer ones not every time.
func (c *campaign) deck() []*kind {
	var deck []*kind
	for pass := 0; len(deck) < max(1, c.faults); pass++ {
		var all []*kind
		for _, k := range kinds {
			fits := k.broker == "" || k.broker == c.broker
			if fits && pass%max(1, k.every) == 0 && (len(c.only) == 0 || slices.Contains(c.only, k.name)) {
				all = append(all, k)
			}
		}
		if len(all) == 0 && pass == 0 {
			c.t.Fatalf("no kind of fault is chosen by %q", c.only)
		}
		c.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		deck = append(deck, all...)
	}
	if c.faults > 0 {
		deck = deck[:c.faults]
	}
	return deck
}

// fire brings one fault and waits until it is recovered from, but not always:
// the next one then meets what is still recovering.
func (c *campaign) fire(i, of int, k *kind) {
	c.t.Helper()
	c.rng = rand.New(rand.NewPCG(c.seed, uint64(i+1))) // whatever was drawn before
	f := fired{kind: k.name, recovery: -1}
	c.history = append(c.history, f)
	at := &c.history[len(c.history)-1]
	if k.alone {
		c.must(c.s.recovered(recoverWithin))
	}
	at.what = k.run(c)
	wait := k.alone || c.rng.IntN(4) > 0
	healed := time.Now()
	c.s.startAll()
	said := "the next one follows at once"
	if wait {
		c.must(c.s.recovered(recoverWithin))
		at.recovery = time.Since(healed)
		said = fmt.Sprintf("recovered in %.1f s", at.recovery.Seconds())
	}
	c.t.Logf("%d/%d %s, %s", i+1, of, at, said)
}

// recovered waits until every process is ready and everything that Kafka holds
// at this moment is in the ledger, while the load goes on.
func (s *stack) recovered(within time.Duration) error {
	began := time.Now()
	var ends map[partitionID]int64
	for {
		err := s.dead()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
		if ends == nil {
			ends, err = s.ends(ctx)
		}
		var late string
		if err == nil {
			late, err = s.behind(ctx, ends)
		}
		cancel()
		switch {
		case err == nil && late != "":
			err = fmt.Errorf("%s", late)
		case err == nil:
			err = s.unready()
		}
		if err == nil {
			return nil
		}
		if hopeless := s.parked(); hopeless != nil {
			return hopeless
		}
		if time.Since(began) > within {
			return fmt.Errorf("not recovered within %s: %w", within, errors.Join(err, s.unready()))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// compare pauses the load, waits until all is counted and compares.
func (c *campaign) compare() {
	c.t.Helper()
	c.must(c.load.pause())
	defer c.load.resume()
	c.must(c.s.settle(recoverWithin))
	began := time.Now()
	found := c.s.compare(c.load.truth())
	c.rounds++
	c.figures += found.figures
	if len(found.problems) > 0 {
		c.fail(strings.Join(found.problems[:min(20, len(found.problems))], "\n"))
	}
	if c.report != "" { // after every round: a campaign may be ended before its time
		c.must(c.write(c.report))
	}
	c.t.Logf("%d figures of %d records are right (compared in %s)", found.figures, c.load.made, time.Since(began).Round(time.Millisecond))
}

func (c *campaign) must(err error) {
	c.t.Helper()
	if err != nil {
		c.fail(err.Error())
	}
}

// fail ends the campaign and says what a reader needs to find out why.
func (c *campaign) fail(problem string) {
	c.t.Helper()
	var said strings.Builder
	for _, m := range c.s.members {
		if m.command != nil {
			fmt.Fprintf(&said, "%s at the end said:\n%s\n", m.name, m.command.Stderr.Tail(2500))
		}
	}
	history := make([]string, 0, len(c.history))
	for i, f := range c.history {
		history = append(history, fmt.Sprintf("%d %s", i+1, f))
	}
	c.t.Fatalf("WRONG: %s\nafter %d faults, seed %d, BROKER=%s; the last of them:\n%s\n%s", problem, len(c.history), c.seed, c.broker,
		strings.Join(history[max(0, len(history)-12):], "\n"), said.String())
}

// end stops everything cleanly.
func (c *campaign) end() {
	c.t.Helper()
	c.load.stop()
	for _, m := range c.s.members {
		c.must(m.leave())
	}
	c.t.Logf("%d faults, seed %d, %s: %d records made, %d repeated, %d figures compared in %d rounds, all right (%s)", len(c.history), c.seed, c.broker,
		c.load.made, c.load.repeats, c.figures, c.rounds, time.Since(c.began).Round(time.Second))
}

// between draws a duration.
func (c *campaign) between(from, to time.Duration) time.Duration {
	return from + time.Duration(c.rng.Int64N(int64(to-from)+1))
}

// hold lets a fault last.
func (c *campaign) hold(from, to time.Duration) time.Duration {
	d := c.between(from, to).Round(10 * time.Millisecond)
	time.Sleep(d)
	return d
}

func (c *campaign) anyMember() *member { return c.s.members[c.rng.IntN(members)] }
