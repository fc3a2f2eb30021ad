package faults

import (
	"errors"
	"fmt"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas/rollup"
)

var rebuildKinds = []*kind{
	{name: "a rollup made anew", run: func(c *campaign) string { return makeAnew(c, "undisturbed", func() {}) }},
	{name: "a rollup made anew while the command is killed", run: func(c *campaign) string { return makeAnew(c, "command killed", nil) }},
	{name: "a rollup made anew while a consumer is killed", run: func(c *campaign) string {
		m := c.anyMember()
		return makeAnew(c, m.name+" killed", m.command.Kill)
	}},
	{name: "a rollup made anew while ClickHouse is killed", run: func(c *campaign) string { return makeAnew(c, "ClickHouse killed", c.s.engine.Kill) }},
}

// makeAnew has a rollup made anew under load, damaged before if nothing is made
// from it, and brings disturb in the middle of it; nil kills the command itself.
// It is run again until it has done its work.
func makeAnew(c *campaign, how string, disturb func()) string {
	l := rollup.Levels[c.rng.IntN(len(rollup.Levels))]
	damaged := ""
	if l.Total || l.Bucket > time.Hour {
		c.operate(fmt.Sprintf("INSERT INTO %s SELECT * FROM %s LIMIT 50 SETTINGS async_insert = 0, insert_deduplicate = 0, deduplicate_insert = 'disable', deduplicate_insert_select = 'disable'", l.Table, l.Table))
		damaged = ", damaged before"
	}
	after := c.between(0, 6*time.Second).Round(time.Millisecond)
	began, runs := time.Now(), 0
	for once := true; ; once = false {
		c.s.startAll()
		// The database of the tests keeps raw events for ever.
		args := append([]string{"migrate", "--rebuild", l.Table, "--events-ttl", "0"}, c.s.store(c.s.access.Addr)...)
		run := storetest.Start(c.t, storetest.CommandOptions{Quiet: true}, args...)
		runs++
		if once {
			time.Sleep(after)
			if disturb == nil {
				run.Kill()
			} else {
				disturb()
			}
			c.s.startAll()
		}
		code := run.Wait()
		if code == 0 {
			return fmt.Sprintf("%s%s, %s after %s, %d runs", l.Table, damaged, how, after, runs)
		}
		const usage = 2 // exit code: it will never be otherwise
		if code == usage || time.Since(began) > recoverWithin {
			c.must(errors.New(run.Stderr.Tail(2000)))
		}
		time.Sleep(200 * time.Millisecond)
	}
}
