package consumers

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drawdown/drawdown/internal/storetest"
	"github.com/segmentio/kafka-go"
)

// These tests say what the delivery protocol takes from a broker's consumer groups: the same claims
// against the embedded Kafka and against Apache Kafka. Where the two differ, the test names both
// answers. broker_log_test.go does the same for the log.

const (
	brokerWait  = 60 * time.Second // for anything a broker is to do; a loaded machine is slow
	testSession = 6 * time.Second  // the least that both brokers take unless told otherwise
	testBeat    = 200 * time.Millisecond
	commitPart  = 1
)

// brokerUnderTest is one broker with a client, fresh topics and a group of its own.
type brokerUnderTest struct {
	*storetest.Broker
	apache    bool
	transport *kafka.Transport
	client    *kafka.Client
	group     string
}

// onBothBrokers runs the same claims against both brokers, beside other tests: much of the time goes
// into session timeouts.
func onBothBrokers(t *testing.T, body func(t *testing.T, b *brokerUnderTest)) {
	t.Helper()
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		body(t, newBrokerUnderTest(t, storetest.Kafka(t, storetest.KafkaOptions{Partitions: 4}), false))
	})
	t.Run("apache", func(t *testing.T) {
		t.Parallel()
		body(t, newBrokerUnderTest(t, storetest.ApacheKafka(t, storetest.KafkaOptions{Partitions: 4}), true))
	})
}

func newBrokerUnderTest(t *testing.T, broker *storetest.Broker, apache bool) *brokerUnderTest {
	t.Helper()
	b := &brokerUnderTest{Broker: broker, apache: apache, transport: &kafka.Transport{}}
	t.Cleanup(b.transport.CloseIdleConnections)
	b.client = &kafka.Client{Addr: kafka.TCP(b.Addr), Transport: b.transport}
	b.group = "group-of-" + b.Topics.Consumption // the topic's name is fresh, so the group is
	return b
}

func brokerContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), brokerWait)
	t.Cleanup(cancel)
	return ctx
}

// member joins the group; it leaves at cleanup.
func (b *brokerUnderTest) member(t *testing.T, rebalanceTimeout time.Duration) *kafka.ConsumerGroup {
	t.Helper()
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: b.group, Brokers: []string{b.Addr}, Topics: b.Topics.Inputs(), StartOffset: kafka.FirstOffset,
		HeartbeatInterval: testBeat, SessionTimeout: testSession, RebalanceTimeout: rebalanceTimeout,
		JoinGroupBackoff: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() }) // some tests have closed it
	return g
}

// coordinatorMoves tells the answers of a broker whose group coordinator is being created, loaded or
// moved. Apache Kafka gives them to whoever comes first; nothing was done, the same request may follow.
func coordinatorMoves(err error) bool {
	return errors.Is(err, kafka.GroupLoadInProgress) || errors.Is(err, kafka.GroupCoordinatorNotAvailable) ||
		errors.Is(err, kafka.NotCoordinatorForGroup)
}

// nextGeneration passes over what kafka-go reports on its way to the next generation and returns the
// last of it.
func nextGeneration(t *testing.T, g *kafka.ConsumerGroup) (*kafka.Generation, error) {
	t.Helper()
	ctx := brokerContext(t)
	var reported error
	for {
		gen, err := g.Next(ctx)
		if err == nil {
			return gen, reported
		}
		if ctx.Err() != nil {
			t.Fatalf("no generation in %s: %v", brokerWait, reported)
		}
		reported = err
	}
}

func mustNext(t *testing.T, g *kafka.ConsumerGroup) *kafka.Generation {
	t.Helper()
	gen, _ := nextGeneration(t, g)
	return gen
}

// membership is what a commit is made under.
type membership struct {
	generation int
	member     string
}

func under(g *kafka.Generation) membership { return membership{int(g.ID), g.MemberID} }

// noMembership is how a plain tool commits.
var noMembership = membership{generation: -1}

// commit returns the broker's verdict on one partition: nil or a kafka.Error.
func (b *brokerUnderTest) commit(t *testing.T, m membership, offset int64, metadata string) error {
	t.Helper()
	ctx := brokerContext(t)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		res, err := b.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
			GroupID: b.group, GenerationID: m.generation, MemberID: m.member,
			Topics: map[string][]kafka.OffsetCommit{
				b.Topics.Consumption: {{Partition: commitPart, Offset: offset, Metadata: metadata}},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if verdict := res.Topics[b.Topics.Consumption][0].Error; !coordinatorMoves(verdict) {
			return verdict
		}
		<-tick.C
	}
}

// committed returns -1 where nothing is committed.
func (b *brokerUnderTest) committed(t *testing.T) (int64, string) {
	t.Helper()
	res, err := b.client.OffsetFetch(brokerContext(t), &kafka.OffsetFetchRequest{
		GroupID: b.group, Topics: map[string][]int{b.Topics.Consumption: {commitPart}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.Error != nil {
		t.Fatal(res.Error)
	}
	p := res.Topics[b.Topics.Consumption][0]
	if p.Error != nil {
		t.Fatal(p.Error)
	}
	return p.CommittedOffset, p.Metadata
}

func (b *brokerUnderTest) wantCommitted(t *testing.T, offset int64, metadata string) {
	t.Helper()
	if o, m := b.committed(t); o != offset || m != metadata {
		t.Errorf("committed is offset %d with %.40q, want %d with %.40q", o, m, offset, metadata)
	}
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// differs picks the answer of the broker at hand.
func (b *brokerUnderTest) differs(embedded, apache error) error {
	if b.apache {
		return apache
	}
	return embedded
}

func TestBrokerGivesOneMemberEveryPartitionOfTheThreeTopics(t *testing.T) {
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		began := time.Now()
		gen, reported := nextGeneration(t, b.member(t, testSession))
		t.Logf("joined in %s; kafka-go reported: %v", time.Since(began), reported)
		if reported != nil && !coordinatorMoves(reported) {
			t.Errorf("the first join reported %v", reported)
		}
		for _, topic := range b.Topics.Inputs() {
			if n := len(gen.Assignments[topic]); n != 4 {
				t.Errorf("%s: %d partitions assigned, want 4", topic, n)
			}
		}
	})
}

func TestBrokerKeepsCommitMetadata(t *testing.T) {
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		m := under(mustNext(t, b.member(t, testSession)))
		const intent = `{"v":1,"pend":[[100,199]]}`
		wantError(t, "a commit under the generation", b.commit(t, m, 100, intent), nil)
		b.wantCommitted(t, 100, intent)
		wantError(t, "a lower offset", b.commit(t, m, 50, ""), nil) // no broker compares them
		b.wantCommitted(t, 50, "")

		began := time.Now()
		const commits = 100
		for i := range int64(commits) {
			wantError(t, "512 bytes", b.commit(t, m, i, strings.Repeat("x", 512)), nil)
		}
		t.Logf("a commit with 512 bytes of metadata takes %s", time.Since(began)/commits)
		wantError(t, "4,096 bytes", b.commit(t, m, 61, strings.Repeat("x", 4096)), nil)
		wantError(t, "4,097 bytes", b.commit(t, m, 62, strings.Repeat("x", 4097)), b.differs(nil, kafka.OffsetMetadataTooLarge))
	})
}

func TestBrokerRefusesCommitsFromOutsideTheGeneration(t *testing.T) {
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		wantError(t, "no generation, no members", b.commit(t, noMembership, 1, "tool"), nil)
		wantError(t, "a generation, no members", b.commit(t, membership{1, "nobody"}, 2, "zombie"),
			b.differs(kafka.IllegalGeneration, kafka.UnknownMemberId))

		first := b.member(t, testSession)
		old := under(mustNext(t, first))
		wantError(t, "no generation, a live group", b.commit(t, noMembership, 3, "tool"), kafka.UnknownMemberId)
		wantError(t, "an unknown member", b.commit(t, membership{old.generation, "nobody"}, 3, ""), kafka.UnknownMemberId)
		wantError(t, "a generation ahead", b.commit(t, membership{old.generation + 1, old.member}, 3, ""), kafka.IllegalGeneration)
		b.wantCommitted(t, 1, "tool")

		began := time.Now()
		joined := make(chan *kafka.Generation, 1)
		second := b.member(t, testSession)
		go func() { joined <- mustNext(t, second) }()
		now, other := under(mustNext(t, first)), under(<-joined)
		t.Logf("a second member: rebalanced in %s", time.Since(began))
		if now.member != old.member {
			t.Errorf("member id changed from %s to %s in a plain rebalance", old.member, now.member)
		}
		wantError(t, "the generation before", b.commit(t, old, 5, "zombie"), kafka.IllegalGeneration)
		// No broker looks at whose partition it is; one of these two does not own it.
		wantError(t, "one member", b.commit(t, now, 6, ""), nil)
		wantError(t, "the other", b.commit(t, other, 7, ""), nil)

		began = time.Now()
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		mustNext(t, first)
		t.Logf("the second left: rebalanced in %s", time.Since(began))
		wantError(t, "a member that has left", b.commit(t, other, 8, "zombie"), kafka.UnknownMemberId)
		b.wantCommitted(t, 7, "")
	})
}

func TestBrokerRefusesALateCopyOfACommitOnceItsMemberHasLeft(t *testing.T) {
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		first := b.member(t, testSession)
		old := under(mustNext(t, first))
		wantError(t, "the commit", b.commit(t, old, 10, "first"), nil)
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		wantError(t, "a late copy, empty group", b.commit(t, old, 1, "late"),
			b.differs(kafka.IllegalGeneration, kafka.UnknownMemberId))

		began := time.Now()
		now := under(mustNext(t, b.member(t, testSession)))
		t.Logf("joined again in %s", time.Since(began))
		if now.member == old.member {
			t.Error("a new ConsumerGroup has the old member id")
		}
		wantError(t, "a late copy", b.commit(t, old, 1, "late"), kafka.UnknownMemberId)
		wantError(t, "the old member in the new generation", b.commit(t, membership{now.generation, old.member}, 1, "late"), kafka.UnknownMemberId)
		b.wantCommitted(t, 10, "first")
	})
}

// drain is a member whose generation has ended because a second member joined, and whose function has
// not returned.
type drain struct {
	group   *kafka.ConsumerGroup
	under   membership
	endedAt time.Time
	release chan struct{}
	second  chan *kafka.Generation
}

func (b *brokerUnderTest) drain(t *testing.T, rebalanceTimeout time.Duration) *drain {
	t.Helper()
	d := &drain{group: b.member(t, rebalanceTimeout), release: make(chan struct{}), second: make(chan *kafka.Generation, 1)}
	gen := mustNext(t, d.group)
	d.under = under(gen)
	ended := make(chan struct{})
	gen.Start(func(ctx context.Context) {
		<-ctx.Done()
		close(ended)
		<-d.release
	})
	second := b.member(t, rebalanceTimeout)
	go func() { d.second <- mustNext(t, second) }()
	<-ended
	d.endedAt = time.Now()
	return d
}

func TestBrokerTakesCommitsOfAnEndedGenerationUntilItsFunctionReturns(t *testing.T) {
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		d := b.drain(t, 5*testSession)
		last := int64(0)
		for tick := time.NewTicker(testBeat); time.Since(d.endedAt) < testSession/2; last++ {
			wantError(t, "the ended generation", b.commit(t, d.under, last, "drain"), nil)
			<-tick.C
		}
		close(d.release)
		now := under(mustNext(t, d.group))
		<-d.second
		if now.member != d.under.member {
			t.Errorf("member id changed from %s to %s though the drain ended in time", d.under.member, now.member)
		}
		wantError(t, "after the rebalance", b.commit(t, d.under, 99, "late"), kafka.IllegalGeneration)
		b.wantCommitted(t, last-1, "drain")
	})
}

// The bound of a drain that commits is the rebalance timeout, however often it commits.
func TestBrokerExpelsADrainAtTheRebalanceTimeout(t *testing.T) {
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		d := b.drain(t, testSession)
		var refused error
		for tick := time.NewTicker(testBeat); refused == nil; <-tick.C {
			refused = b.commit(t, d.under, 1, "drain")
		}
		t.Logf("commits were taken for %s", time.Since(d.endedAt))
		wantError(t, "after the rebalance timeout", refused, kafka.UnknownMemberId)
		<-d.second
		b.wantComesBackAsAnother(t, d)
	})
}

// Heartbeats stop when a generation ends: a drain that says nothing is gone at the session timeout,
// well before the rebalance timeout.
func TestBrokerExpelsASilentDrainAtTheSessionTimeout(t *testing.T) {
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		d := b.drain(t, 5*testSession)
		<-d.second
		if took := time.Since(d.endedAt); took > 3*testSession {
			t.Errorf("the second member waited %s, want about %s", took, testSession)
		}
		wantError(t, "after the session timeout", b.commit(t, d.under, 1, "drain"), kafka.UnknownMemberId)
		b.wantComesBackAsAnother(t, d)
	})
}

// wantComesBackAsAnother releases an expelled drain: kafka-go reports the expulsion and joins anew.
func (b *brokerUnderTest) wantComesBackAsAnother(t *testing.T, d *drain) {
	t.Helper()
	close(d.release)
	gen, reported := nextGeneration(t, d.group)
	wantError(t, "what kafka-go reports", reported, kafka.UnknownMemberId)
	if gen.MemberID == d.under.member {
		t.Error("the expelled member has its old id")
	}
}

func TestBrokerGivesThePartitionsOfAVanishedMemberAwayAtTheSessionTimeout(t *testing.T) {
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		vanished := b.vanish(t)
		began := time.Now()
		mustNext(t, b.member(t, testSession))
		if took := time.Since(began); took > 3*testSession {
			t.Errorf("taken over after %s, want about %s", took, testSession)
		}
		wantError(t, "the vanished one's commit", b.commit(t, vanished, 3, "zombie"), kafka.UnknownMemberId)
		b.wantCommitted(t, 2, "intent")
	})
}

// vanish joins by hand, commits an intent and is not heard of again, as after a kill.
func (b *brokerUnderTest) vanish(t *testing.T) membership {
	t.Helper()
	ctx := brokerContext(t)
	request := kafka.JoinGroupRequest{
		GroupID: b.group, SessionTimeout: testSession, RebalanceTimeout: 5 * testSession, ProtocolType: "consumer",
		Protocols: []kafka.GroupProtocol{{Name: "range", Metadata: kafka.GroupProtocolSubscription{Topics: b.Topics.Inputs()}}},
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		res, err := b.client.JoinGroup(ctx, &request)
		if err != nil && !coordinatorMoves(err) {
			t.Fatal(err)
		}
		if err == nil && res.Error == nil {
			return b.sync(t, membership{res.GenerationID, res.MemberID})
		}
		if err == nil && !coordinatorMoves(res.Error) {
			wantError(t, "a join without an id", res.Error, kafka.MemberIDRequired) // KIP-394
			request.MemberID = res.MemberID
		}
		<-tick.C
	}
}

func (b *brokerUnderTest) sync(t *testing.T, m membership) membership {
	t.Helper()
	wantError(t, "a commit before the assignment is known", b.commit(t, m, 1, ""), kafka.RebalanceInProgress)
	res, err := b.client.SyncGroup(brokerContext(t), &kafka.SyncGroupRequest{
		GroupID: b.group, GenerationID: m.generation, MemberID: m.member, ProtocolType: "consumer", ProtocolName: "range",
		Assignments: []kafka.SyncGroupRequestAssignment{{
			MemberID:   m.member,
			Assignment: kafka.GroupProtocolAssignment{AssignedPartitions: map[string][]int{b.Topics.Consumption: {0, 1, 2, 3}}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "sync", res.Error, nil)
	wantError(t, "the intent", b.commit(t, m, 2, "intent"), nil)
	return m
}

func TestBrokerHasNoOffsetsOfAnUnknownGroup(t *testing.T) {
	onBothBrokers(t, func(t *testing.T, b *brokerUnderTest) {
		res, err := b.client.OffsetFetch(brokerContext(t), &kafka.OffsetFetchRequest{
			GroupID: b.group, Topics: map[string][]int{b.Topics.Consumption: {0, 99}, "no-such-topic": {0}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if b.apache && coordinatorMoves(res.Error) {
			return // nobody has used a group on this broker yet
		}
		wantError(t, "the group", res.Error, b.differs(kafka.GroupIdNotFound, nil))
		for topic, partitions := range res.Topics {
			for _, p := range partitions {
				if p.CommittedOffset != -1 || p.Error != nil {
					t.Errorf("%s/%d: offset %d, error %v; want -1 and none", topic, p.Partition, p.CommittedOffset, p.Error)
				}
			}
		}
	})
}
