package faults

import (
	"fmt"
	"time"
)

var loadKinds = []*kind{
	{name: "duplicate storm", run: stormDuplicates},
	{name: "producer's clock jumps", run: skewProducer},
	{name: "consumer's clock is wrong", run: skewConsumer},
}

// stormDuplicates sends again thousands of records of the whole campaign, some
// of them of events from days ago, and new ones among them.
func stormDuplicates(c *campaign) string {
	n := 2000 + c.rng.IntN(10_000)
	for range 5 {
		c.load.with(func() { c.load.repeat(n / 5); c.load.burst = 200 })
		c.hold(0, 200*time.Millisecond)
	}
	return fmt.Sprintf("%d records", n)
}

// skewProducer has the producer's clock jump, and with it the times of events
// and records, and back.
func skewProducer(c *campaign) string {
	by := -c.between(time.Minute, 26*time.Hour).Round(time.Minute)
	if c.rng.IntN(2) == 0 {
		by = c.between(time.Minute, 50*time.Minute).Round(time.Minute) // a broker takes an hour at the most
	}
	c.load.with(func() { c.load.skew = by })
	d := c.hold(time.Second, 3*time.Second)
	c.load.with(func() { c.load.skew = 0 })
	return fmt.Sprintf("by %s for %s", by, d)
}

// skewConsumer replaces a member by one whose clock is wrong, by up to a day from
// its start, and leaps forward while it works, as that of a machine does which
// was suspended.
func skewConsumer(c *campaign) string {
	m := c.anyMember()
	c.must(m.leave())
	by := c.between(-26*time.Hour, 26*time.Hour).Round(time.Minute)
	m.startSkewed(by)
	c.must(c.s.recovered(recoverWithin))
	leap := c.between(0, 3*sessionTimeout).Round(time.Millisecond)
	m.leap(leap)
	c.hold(0, time.Second)
	c.must(m.leave())
	return fmt.Sprintf("%s, by %s, then a leap of %s", m.name, by, leap)
}
