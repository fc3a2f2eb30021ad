package faults

import (
	"fmt"
	"slices"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
)

// kind is a kind of fault.
type kind struct {
	name string
	// broker is the only one on which it can be brought about; "": both.
	broker string
	// every is in which passes through all kinds it takes part: 3 is every third.
	every int
	// alone: it begins when all before is recovered from.
	alone bool
	// run brings the fault, takes it away and says whom it met. What it ended
	// is started again afterwards.
	run func(c *campaign) (what string)
}

var kinds = slices.Concat(processKinds, storeKinds, loadKinds, groupKinds, rebuildKinds)

var processKinds = []*kind{
	{name: "consumer killed", run: killConsumer},
	{name: "consumer paused", run: func(c *campaign) string { return pauseConsumer(c, 200*time.Millisecond, sessionTimeout/2) }},
	{name: "consumer paused past its session", run: func(c *campaign) string {
		return pauseConsumer(c, sessionTimeout+500*time.Millisecond, 2*sessionTimeout)
	}},
	{name: "consumer leaves and comes back", run: leaveConsumer},
	{name: "members come and go", run: churn},
	{name: "ClickHouse killed", run: killEngine},
	{name: "ClickHouse killed in an INSERT", run: killEngineInInsert},
	{name: "ClickHouse killed at a rename", run: killEngineAtRename},
	{name: "ClickHouse restarted", run: func(c *campaign) string { c.s.engine.Restart(); return "cleanly" }},
	{name: "ClickHouse paused", run: func(c *campaign) string {
		return c.pause("", c.enginePID(), 500*time.Millisecond, 2*sessionTimeout)
	}},
	{name: "Kafka killed", run: func(c *campaign) string {
		c.s.broker.Kill()
		d := c.hold(0, time.Second)
		c.s.broker.Restart()
		return fmt.Sprintf("away for %s and its start", d)
	}},
	{name: "Kafka restarted", run: func(c *campaign) string {
		c.s.broker.Stop()
		d := c.hold(0, time.Second)
		c.s.broker.Restart()
		return fmt.Sprintf("away for %s and its start", d)
	}},
	{name: "Kafka paused", run: func(c *campaign) string {
		return c.pause("", c.s.broker.PID(), 500*time.Millisecond, 2*sessionTimeout)
	}},
	{name: "API killed", run: func(c *campaign) string { c.s.server.command.Kill(); return "and started again" }},
	{name: "API paused", run: func(c *campaign) string {
		return c.pause("", c.s.server.command.PID(), 200*time.Millisecond, 2*time.Second)
	}},
	{name: "ClickHouse connections cut", run: func(c *campaign) string { return cut(c, c.clickhouse()) }},
	{name: "ClickHouse connections stalled", run: func(c *campaign) string { return stall(c, c.clickhouse()) }},
	{name: "ClickHouse connections slowed", run: func(c *campaign) string { return slow(c, c.clickhouse()) }},
	{name: "ClickHouse connections refused", run: func(c *campaign) string { return turnAway(c, c.clickhouse()) }},
	{name: "ClickHouse answers lost", run: func(c *campaign) string { return deafen(c, c.clickhouse()) }},
	{name: "Kafka connections cut", run: func(c *campaign) string { return cut(c, c.kafka()) }},
	{name: "Kafka connections stalled", run: func(c *campaign) string { return stall(c, c.kafka()) }},
	{name: "Kafka connections slowed", run: func(c *campaign) string { return slow(c, c.kafka()) }},
	{name: "Kafka connections refused", run: func(c *campaign) string { return turnAway(c, c.kafka()) }},
	{name: "Kafka answers lost", run: func(c *campaign) string { return deafen(c, c.kafka()) }},
}

// way is where connections pass.
type way struct {
	name  string
	proxy *storetest.Proxy
}

// clickhouse is a member's way to ClickHouse.
func (c *campaign) clickhouse() way {
	m := c.anyMember()
	return way{"of " + m.name, m.clickhouse}
}

// kafka is the way of all members to Kafka, which tells one address to all.
func (c *campaign) kafka() way { return way{"of all members", c.s.kafka} }

func killConsumer(c *campaign) string {
	m := c.anyMember()
	c.load.with(func() { c.load.burst = c.rng.IntN(1000) })
	time.Sleep(c.between(0, 300*time.Millisecond)) // anywhere in the life of a batch
	m.command.Kill()
	return fmt.Sprintf("%s, away for %s", m.name, c.hold(0, sessionTimeout))
}

func pauseConsumer(c *campaign, from, to time.Duration) string {
	m := c.anyMember()
	c.load.with(func() { c.load.burst = c.rng.IntN(1000) })
	time.Sleep(c.between(0, 300*time.Millisecond))
	return c.pause(m.name+" ", m.command.PID(), from, to)
}

func (c *campaign) pause(who string, pid int, from, to time.Duration) (what string) {
	paused(pid, func() { what = fmt.Sprintf("%sfor %s", who, c.hold(from, to)) })
	return what
}

func leaveConsumer(c *campaign) string {
	m := c.anyMember()
	c.must(m.leave())
	return fmt.Sprintf("%s, away for %s", m.name, c.hold(0, time.Second))
}

// churn has members join, leave and die in quick succession, the usual ones and
// one more.
func churn(c *campaign) string {
	if c.extra == nil {
		c.extra = c.s.newMember(members + 1)
	}
	all := append(slices.Clone(c.s.members), c.extra)
	changes := 4 + c.rng.IntN(5)
	for range changes {
		m := all[c.rng.IntN(len(all))]
		switch {
		case !m.running():
			m.start()
		case c.rng.IntN(2) == 0:
			m.command.Kill()
		default:
			c.must(m.leave())
		}
		c.hold(0, sessionTimeout/3)
	}
	c.must(c.extra.leave())
	return fmt.Sprintf("%d changes of %d members", changes, members+1)
}

// enginePID waits until ClickHouse runs: a consumer that was killed takes the
// embedded engine down.
func (c *campaign) enginePID() int {
	storetest.Wait(c.t, startWithin, "ClickHouse answers", func() (bool, error) { return c.s.engine.Health() == nil, nil })
	return c.s.engine.PID()
}

func killEngine(c *campaign) string {
	c.enginePID()
	c.load.with(func() { c.load.burst = c.rng.IntN(3000) })
	d := c.hold(0, 500*time.Millisecond)
	c.s.engine.Kill()
	return fmt.Sprintf("%s after a burst", d)
}

func killEngineInInsert(c *campaign) string {
	c.enginePID()
	c.load.with(func() { c.load.burst = 1000 + c.rng.IntN(5000) })
	table := ""
	for began := time.Now(); table == "" && time.Since(began) < 5*time.Second; {
		// Fails only while the engine is away, which is what comes anyway.
		_ = c.s.tables.QueryRow(c.t.Context(), `SELECT extract(query, 'INTO .?([a-z_0-9]+)') FROM system.processes WHERE query_kind = 'Insert' LIMIT 1`).Scan(&table)
	}
	c.s.engine.Kill()
	if table == "" {
		return "none was seen"
	}
	return "into " + table
}

// killEngineAtRename kills ClickHouse where it has written that a token is used
// and not yet brought the part in: the rows are lost, and the retry is skipped.
func killEngineAtRename(c *campaign) string {
	pid := c.enginePID()
	when := 1 + c.rng.IntN(20)
	lift := c.s.engine.KillAtRename(c.t, when)
	for began := time.Now(); c.s.engine.PID() == pid && time.Since(began) < 20*time.Second; {
		c.load.with(func() { c.load.burst = 500 })
		c.hold(100*time.Millisecond, 200*time.Millisecond)
	}
	lift()
	if c.s.engine.PID() == pid {
		return "it did not come to that"
	}
	return fmt.Sprintf("the %d. of its", when)
}

func cut(c *campaign, w way) string {
	times := 1 + c.rng.IntN(5)
	for range times {
		w.proxy.Cut()
		c.hold(0, 400*time.Millisecond)
	}
	return fmt.Sprintf("%s, %d times", w.name, times)
}

func stall(c *campaign, w way) string {
	w.proxy.Stall(true)
	d := c.hold(500*time.Millisecond, 2*sessionTimeout)
	end := "go on"
	if c.rng.IntN(2) == 0 {
		w.proxy.Cut()
		end = "are cut"
	}
	w.proxy.Stall(false)
	return fmt.Sprintf("%s for %s, then they %s", w.name, d, end)
}

func slow(c *campaign, w way) string {
	by := c.between(20*time.Millisecond, 300*time.Millisecond).Round(time.Millisecond)
	w.proxy.Slow(by)
	d := c.hold(time.Second, 5*time.Second)
	w.proxy.Slow(0)
	return fmt.Sprintf("%s by %s a piece for %s", w.name, by, d)
}

func turnAway(c *campaign, w way) string {
	w.proxy.Refuse(true)
	w.proxy.Cut()
	d := c.hold(200*time.Millisecond, 2*sessionTimeout)
	w.proxy.Refuse(false)
	return fmt.Sprintf("%s for %s", w.name, d)
}

// deafen swallows answers: what was asked is done, and nobody knows.
func deafen(c *campaign, w way) string {
	w.proxy.DropReplies(true)
	d := c.hold(200*time.Millisecond, sessionTimeout)
	w.proxy.Cut()
	w.proxy.DropReplies(false)
	return fmt.Sprintf("%s for %s", w.name, d)
}
