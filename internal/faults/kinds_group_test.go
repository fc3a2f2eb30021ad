package faults

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/drawdown/drawdown/schemas"
)

var groupKinds = []*kind{
	{name: "consumer group deleted", every: 2, run: deleteGroup},
	{name: "offsets reset to 0", every: 2, alone: true, run: resetOffsets},
	{name: "retention overtakes the consumers", every: 8, alone: true, run: overtake},
}

// endMembers ends all members, cleanly or not.
func (c *campaign) endMembers(kill bool) {
	for _, m := range c.s.members {
		if kill {
			m.command.Kill()
		} else {
			c.must(m.leave())
		}
	}
}

// deleteGroup takes away offsets and intents, with batches half done if the
// members were killed.
func deleteGroup(c *campaign) string {
	kill := c.rng.IntN(2) == 0
	c.load.with(func() { c.load.burst = c.rng.IntN(2000) })
	time.Sleep(c.between(0, 300*time.Millisecond))
	c.endMembers(kill)
	request := kmsg.NewPtrDeleteGroupsRequest()
	request.Groups = []string{group}
	storetest.Wait(c.t, startWithin, "the group has no members and is deleted", func() (bool, error) {
		response, err := c.s.admin(request)
		return err == nil && response.(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode == 0, nil
	})
	if kill {
		return "after all members were killed"
	}
	return "after all members had left"
}

// resetOffsets commits offset 0 everywhere, as somebody does who wants to count
// again: the partitions must park, and go on where the ledger ends when told so.
func resetOffsets(c *campaign) string {
	c.endMembers(false)
	request := &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{}}
	for _, topic := range c.s.topics.Inputs() {
		for p := range partitions {
			request.Topics[topic] = append(request.Topics[topic], kafka.OffsetCommit{Partition: p})
		}
	}
	storetest.Wait(c.t, startWithin, "the group has no members and is reset", func() (bool, error) {
		response, err := c.s.client.OffsetCommit(c.t.Context(), request)
		if err != nil {
			return false, nil
		}
		for _, topic := range response.Topics {
			for _, p := range topic {
				err = errors.Join(err, p.Error)
			}
		}
		return err == nil, nil
	})
	c.s.startAll()
	c.awaitParked("offset_regression", recoverWithin)
	c.endMembers(false)
	c.s.startAll("--resume-from-ledger")
	c.must(c.s.recovered(recoverWithin))
	return "parked, then resumed from the ledger"
}

// awaitParked waits until a member says that a partition is parked for a reason.
func (c *campaign) awaitParked(reason string, within time.Duration) {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := c.s.unready()
		if err != nil && strings.Contains(err.Error(), "is parked: "+reason) {
			return
		}
		if time.Since(began) > within {
			c.fail(fmt.Sprintf("no partition parks for %s within %s: %v", reason, within, err))
		}
	}
}

// overtake deletes records that were never counted. Their partition must park and
// count nothing behind them, while the others go on. The way on is another epoch,
// in which the log is read again and nothing counted twice, and the producer,
// who has the records, sending them again.
func overtake(c *campaign) string {
	c.must(c.load.pause())
	defer c.load.resume()
	c.must(c.s.settle(recoverWithin))
	c.endMembers(false)

	topic := c.s.topics.Consumption
	w := c.rng.IntN(workspaces)
	p := schemas.Partition([]byte(workspaceID(w)), partitions)
	lost := c.load.aside(w, 100+c.rng.IntN(400))
	_, first, err := c.s.logRange(c.t.Context(), topic, p)
	c.must(err)
	c.must(c.load.sendAll(lost))
	before := first + 1 + c.rng.Int64N(int64(len(lost)))
	c.must(c.s.deleteRecords(topic, p, before))

	c.s.startAll()
	c.awaitParked("log_start", recoverWithin)
	for other := range workspaces {
		if schemas.Partition([]byte(workspaceID(other)), partitions) != p {
			for range 100 {
				c.load.consume(other)
			}
		}
	}
	c.must(c.load.sendUnsent())
	c.must(c.s.othersDone(partitionID{topic, p}, recoverWithin))
	if held, err := again(func() (n int64, err error) {
		return n, c.s.tables.QueryRow(c.t.Context(), `SELECT toInt64(max(last) + 1) FROM ingest_batches WHERE topic = ? AND kpart = ? AND epoch = ?`, topic, p, c.s.epoch).Scan(&n)
	}); err != nil || held > first {
		c.fail(fmt.Sprintf("partition %s/%d was counted up to %d past what retention took at %d: %v", topic, p, held, first, err))
	}
	if found := c.s.compareOnly(c.load.truth()); len(found.problems) > 0 {
		c.fail("while a partition is parked: " + strings.Join(found.problems, "\n"))
	}

	c.endMembers(false)
	c.s.server.command.Kill()
	c.must(c.s.nextEpoch())
	c.load.own(lost)
	c.must(c.load.sendUnsent())
	c.s.startAll()
	c.must(c.s.settle(2 * recoverWithin))
	return fmt.Sprintf("%s/%d lost %d records, parked; counted again in epoch %d", topic, p, before-first, c.s.epoch)
}
