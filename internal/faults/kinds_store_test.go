package faults

import (
	"fmt"
	"time"
)

var storeKinds = []*kind{
	{name: "disk full", run: func(c *campaign) string {
		// What ClickHouse answers when the disk is (code 243), without filling
		// the disk of whoever runs the tests.
		return c.withSetting("min_free_disk_bytes_to_perform_insert", "1000000000000000")
	}},
	{name: "too many parts", run: func(c *campaign) string { return c.withSetting("parts_to_throw_insert", "1") }},
	{name: "a view throws", run: throwInView},
	{name: "commits refused", broker: "kfake", run: refuseCommits},
}

// written are the tables that a batch reaches.
var written = []string{"events", "usage_1m", "usage_15m", "usage_15m_total", "usage_1d", "campaign_activity", "ingest_batches", "credit_entries", "campaigns"}

// operate runs a statement until it succeeds: the embedded engine may be on its
// way down from what came before.
func (c *campaign) operate(statement string) {
	c.t.Helper()
	_, err := again(func() (struct{}, error) { return struct{}{}, c.s.exec(statement) })
	c.must(err)
}

// withSetting gives a table a setting under which it refuses INSERTs, for a
// while. Where it is one behind a view, the tables before it may have the rows.
func (c *campaign) withSetting(name, value string) string {
	table := written[c.rng.IntN(len(written))]
	c.operate("ALTER TABLE " + table + " MODIFY SETTING " + name + " = " + value)
	d := c.hold(time.Second, 5*time.Second)
	c.operate("ALTER TABLE " + table + " RESET SETTING " + name)
	return fmt.Sprintf("%s for %s", table, d)
}

// throwInView has one more view on a table that a batch reaches, which throws. It
// lasts less than it takes for a partition to park.
func throwInView(c *campaign) string {
	table := []string{"events", "usage_1m", "usage_15m"}[c.rng.IntN(3)]
	c.operate("CREATE TABLE IF NOT EXISTS fault_sink (x UInt8) ENGINE = Null")
	c.operate("CREATE MATERIALIZED VIEW IF NOT EXISTS fault_view TO fault_sink AS SELECT throwIf(1, 'a fault') AS x FROM " + table)
	d := c.hold(time.Second, 5*time.Second)
	c.operate("DROP TABLE IF EXISTS fault_view SYNC")
	return fmt.Sprintf("on %s for %s", table, d)
}

// refusals are what a coordinator answers to commits: generation or member gone,
// rebalancing, loading, moved, timed out; 0 is no answer at all.
var refusals = []int{22, 25, 27, 14, 15, 16, 7, 0}

func refuseCommits(c *campaign) string {
	code, times := refusals[c.rng.IntN(len(refusals))], 1+c.rng.IntN(4)
	c.s.kfake.refuseCommits(code, times)
	c.hold(500*time.Millisecond, time.Second)
	if code == 0 {
		return fmt.Sprintf("%d without an answer", times)
	}
	return fmt.Sprintf("%d with error %d", times, code)
}
