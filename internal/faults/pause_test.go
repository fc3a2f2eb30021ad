package faults

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
)

// TestAConsumerThatWakesDoesNoHarmAndStopsItself: a member is stopped in the
// middle of its work for far longer than its session, here for four of them, and
// for FAULTS_PAUSE where that is set. Others take its partitions over meanwhile.
// When it goes on it must find out by itself that it owns nothing any more, and
// join anew.
func TestAConsumerThatWakesDoesNoHarmAndStopsItself(t *testing.T) {
	pause := 4 * sessionTimeout
	if text := os.Getenv("FAULTS_PAUSE"); text != "" {
		var err error
		if pause, err = time.ParseDuration(text); err != nil {
			t.Fatalf("FAULTS_PAUSE: %v", err)
		}
	}
	c := newCampaign(t, settings{broker: "kfake", seed: shortSeed})
	c.compare()
	sleeper := c.s.members[0]
	awake := c.s.members[1:]
	joined := func(m *member) int { return len(m.command.Stderr.Lines("msg=joined")) }
	before, others := joined(sleeper), joined(awake[0])
	c.load.with(func() { c.load.burst = 5000 })
	paused(sleeper.command.PID(), func() {
		began := time.Now()
		storetest.Wait(t, recoverWithin, "the others take its partitions over", func() (bool, error) { return joined(awake[0]) > others, nil })
		c.s.members = awake
		c.must(c.s.recovered(recoverWithin))
		c.s.members = append([]*member{sleeper}, awake...)
		t.Logf("after %s the others had taken over and counted everything", time.Since(began).Round(time.Millisecond))
		time.Sleep(pause - time.Since(began))
	})
	woke := time.Now()
	storetest.Wait(t, recoverWithin, "the sleeper joins anew", func() (bool, error) { return joined(sleeper) > before, nil })
	t.Logf("stopped for %s; %s after it woke it had joined anew", pause, time.Since(woke).Round(time.Millisecond))
	c.must(c.s.recovered(recoverWithin))
	c.compare()
	if ended := sleeper.command.Stderr.Lines("generation ends"); len(ended) > 0 {
		t.Logf("it said:\n%s", strings.Join(ended, "\n"))
	}
	c.end()
}
