package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/drawdown/drawdown/schemas"
	"github.com/segmentio/kafka-go"
)

// insertGrace is how long the end of a generation waits for INSERTs under way
// (invariant 7): well within the session timeout, and the commits of batches
// that end in time are still accepted.
const insertGrace = 5 * time.Second

// drainWithin bounds a clean stop while ClickHouse is away: what has an intent
// is then left to the next owner. Kubernetes grants 30 s before it kills.
const drainWithin = 20 * time.Second

// generation is one membership of the group between two rebalances: the
// partitions it was given and the one committer that speaks for all of them.
type generation struct {
	c    *Consumer
	gen  *kafka.Generation
	ctx  context.Context // of the generation; kafka-go ends it
	over context.CancelCauseFunc

	partitions []*partition
	// filterBytes is one consumption partition's share of the memory.
	filterBytes int
	// draining ends when the consumer is told to stop: reading ends, what
	// has an intent is still written.
	draining context.Context
	// graceOver is closed when INSERTs are no longer waited for.
	graceOver chan struct{}
	kicked    chan struct{}

	mu       sync.Mutex
	answered time.Time // when the last commit or heartbeat that got an answer was sent
	// unanswered says that a commit got no answer: a late copy of it may
	// still reach the broker, so this member must leave.
	unanswered bool
}

// runGeneration owns the assigned partitions until ctx, the generation's, or
// stop, the consumer's, ends. It reports whether the member must leave and
// join anew (invariant 2).
func (c *Consumer) runGeneration(ctx, stop context.Context, gen *kafka.Generation) (leave bool) {
	ctx, over := context.WithCancelCause(ctx)
	defer over(nil)
	g := &generation{
		c: c, gen: gen, ctx: ctx, over: over, draining: stop,
		graceOver: make(chan struct{}), kicked: make(chan struct{}, 1), answered: c.now(),
	}
	stopGrace := context.AfterFunc(ctx, func() { time.AfterFunc(insertGrace, func() { close(g.graceOver) }) })
	defer stopGrace()
	stopDrain := context.AfterFunc(stop, func() {
		time.AfterFunc(drainWithin, func() { g.over(errors.New("draining took too long; the next owner finishes it")) })
	})
	defer stopDrain()
	g.assign()
	c.enter(g)
	defer c.exit(g)

	if job := c.replaying; job != nil && !g.owns(job.Topic, job.Partition) {
		job.end(errTaken)
	}
	var wg sync.WaitGroup
	committed, err := g.committedOffsets(ctx)
	if err == nil {
		for _, p := range g.partitions {
			wg.Add(1)
			go func() {
				defer wg.Done()
				p.run(ctx, committed[p.topic][p.id])
			}()
		}
	}
	finished := make(chan struct{})
	go func() { wg.Wait(); close(finished) }()
	g.commitLoop(finished)
	return g.unanswered
}

func (g *generation) owns(topic string, id int) bool {
	return slices.ContainsFunc(g.partitions, func(p *partition) bool { return p.topic == topic && p.id == id })
}

// assign makes the partitions and shares the memory among those of the
// consumption topic.
func (g *generation) assign() {
	consumption := 0
	for _, role := range []schemas.Topic{schemas.ConsumptionTopic, schemas.LedgerTopic, schemas.CampaignsTopic} {
		for _, a := range g.gen.Assignments[g.c.Topics.Name(role)] {
			g.partitions = append(g.partitions, newPartition(g, role, a.ID))
			if role == schemas.ConsumptionTopic {
				consumption++
			}
		}
	}
	g.filterBytes = g.c.FilterBytes / max(1, consumption)
	for _, p := range g.partitions {
		p.batchBytes = g.c.BatchBytes / (pipelined + 1) / max(1, consumption)
	}
	g.c.log.Info("joined", "generation", g.gen.ID, "member", g.gen.MemberID, "partitions", len(g.partitions))
}

// committedOffsets asks for offsets and intents, and refuses to start on a
// topic with another partition count than configured: there every workspace
// might belong elsewhere.
func (g *generation) committedOffsets(ctx context.Context) (map[string]map[int]committedOffset, error) {
	var retry backoff
	for {
		err := g.checkPartitionCounts(ctx)
		var committed map[string]map[int]committedOffset
		if err == nil {
			committed, err = g.fetchOffsets(ctx)
		}
		var parked *parkError
		switch {
		case err == nil:
			return committed, nil
		case errors.As(err, &parked):
			for _, p := range g.partitions {
				p.park(parked)
			}
			g.keepPlace(ctx)
			return nil, err
		}
		g.c.fetchErrors.note("cannot read the committed offsets, trying again", err)
		if retry.sleep(ctx) != nil {
			return nil, ctx.Err()
		}
	}
}

// keepPlace holds a place in the group for what is parked until the generation
// ends or the consumer stops: kafka-go ends a generation when its function
// returns, and a member that joined again and again would stop the others.
func (g *generation) keepPlace(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-g.draining.Done():
	}
}

// checkPartitionCounts asks by a connection of its own: a transport answers from
// what it has known for some seconds, and that these counts have changed may be
// why the generation has begun.
func (g *generation) checkPartitionCounts(ctx context.Context) error {
	transport := &kafka.Transport{Dial: g.c.transport.Dial, MetadataTopics: g.c.Topics.Inputs(), ClientID: g.c.transport.ClientID}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: g.c.client.Addr, Transport: transport, Timeout: g.c.client.Timeout}
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: g.c.Topics.Inputs()})
	if err != nil {
		return fmt.Errorf("cannot read the partitions of the topics: %w", err)
	}
	for _, t := range metadata.Topics {
		if t.Error != nil {
			return fmt.Errorf("cannot read the partitions of topic %s: %w", t.Name, t.Error)
		}
		if len(t.Partitions) != g.c.Partitions {
			return park("partition_count", "topic %s has %d partitions, %d are configured: set --partitions to what it has, or make the topics anew and raise --epoch", t.Name, len(t.Partitions), g.c.Partitions)
		}
	}
	return nil
}

func (g *generation) fetchOffsets(ctx context.Context) (map[string]map[int]committedOffset, error) {
	request := kafka.OffsetFetchRequest{GroupID: g.c.Group, Topics: map[string][]int{}}
	for _, p := range g.partitions {
		request.Topics[p.topic] = append(request.Topics[p.topic], p.id)
	}
	if len(g.partitions) == 0 {
		return nil, nil
	}
	res, err := g.c.client.OffsetFetch(ctx, &request)
	if err != nil {
		return nil, fmt.Errorf("cannot fetch the committed offsets of group %s: %w", g.c.Group, err)
	}
	if res.Error != nil {
		return nil, fmt.Errorf("cannot fetch the committed offsets of group %s: %w", g.c.Group, res.Error)
	}
	out := make(map[string]map[int]committedOffset)
	seen := 0
	for topic, partitions := range res.Topics {
		out[topic] = make(map[int]committedOffset)
		for _, o := range partitions {
			if o.Error != nil {
				return nil, fmt.Errorf("cannot fetch the committed offset of %s/%d: %w", topic, o.Partition, o.Error)
			}
			out[topic][o.Partition] = committedOffset{offset: o.CommittedOffset, metadata: o.Metadata}
			seen++
		}
	}
	if seen != len(g.partitions) {
		return nil, fmt.Errorf("cannot fetch the committed offsets of group %s: %d of %d partitions in the answer", g.c.Group, seen, len(g.partitions))
	}
	return out, nil
}

// kick asks for a commit.
func (g *generation) kick() { wake(g.kicked) }

// leased reports whether the last answer under this generation is young enough
// for nobody else to have been given its partitions (invariant 2).
func (g *generation) leased() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.c.now().Sub(g.answered) < g.c.SessionTimeout
}

// commitLoop commits whenever something is frozen or done, and proves the
// membership by a heartbeat of its own when nothing was for a while. When the
// partitions have ended it commits what they still finished.
func (g *generation) commitLoop(finished <-chan struct{}) {
	renew := time.NewTicker(g.c.SessionTimeout / 6)
	defer renew.Stop()
	for {
		select {
		case <-finished:
			// After a commit without an answer there must be no other.
			if !g.unanswered {
				if err := g.commit(); err != nil {
					g.c.log.Debug("the last commit of the generation was refused", "error", err)
				}
			}
			return
		case <-g.kicked:
			if g.ctx.Err() != nil {
				continue // the partitions are ending; one commit follows
			}
			if err := g.commit(); err != nil {
				g.end(err)
			}
		case <-renew.C:
			if g.ctx.Err() != nil {
				continue
			}
			if err := g.prove(); err != nil {
				g.end(err)
			}
		}
	}
}

func (g *generation) end(err error) {
	if g.ctx.Err() == nil {
		g.c.log.Info("generation ends", "generation", g.gen.ID, "reason", err)
	}
	g.over(err)
}

// prepared is one partition's part of a commit.
type prepared struct {
	p       *partition
	commit  kafka.OffsetCommit
	batches []*batch
}

// prepare returns what must be committed: "done" of the last batches and
// "intent" of the next in one (invariant 2).
func (g *generation) prepare() []prepared {
	var out []prepared
	for _, p := range g.partitions {
		p.mu.Lock()
		if p.recovered || p.adopting {
			in := intent{format: batchFormat, epoch: g.c.Epoch, rules: g.c.rules}
			for _, b := range p.pending {
				in.pending = append(in.pending, b.span)
			}
			commit := kafka.OffsetCommit{Partition: p.id, Offset: p.next, Metadata: in.String()}
			if commit != p.said {
				out = append(out, prepared{p, commit, slices.Clone(p.pending)})
			}
		}
		p.mu.Unlock()
	}
	return out
}

// commit sends one OffsetCommit for all partitions with news. A refusal ends
// the generation; no answer ends the membership, because a copy that arrives
// late would turn offset and intent back; an answer that asks to try again is
// followed by the same commit.
func (g *generation) commit() error {
	news := g.prepare()
	if len(news) == 0 {
		return nil
	}
	request := &kafka.OffsetCommitRequest{
		GroupID: g.gen.GroupID, GenerationID: int(g.gen.ID), MemberID: g.gen.MemberID,
		Topics: make(map[string][]kafka.OffsetCommit),
	}
	for _, n := range news {
		request.Topics[n.p.topic] = append(request.Topics[n.p.topic], n.commit)
	}
	for wait := (backoff{}); ; {
		sentAt := g.c.now()
		// Not bound to the generation: whether it was answered must be known.
		ctx, cancel := context.WithTimeout(context.Background(), g.c.SessionTimeout/3)
		res, err := g.c.client.OffsetCommit(ctx, request)
		cancel()
		if err != nil {
			g.unanswered = true
			return fmt.Errorf("a commit got no answer: %w", err)
		}
		again, err := g.read(res)
		if err != nil {
			return err
		}
		if again == nil {
			g.mu.Lock()
			g.answered = sentAt
			g.mu.Unlock()
			break
		}
		g.c.fetchErrors.note("the coordinator refuses commits for now, trying again", again)
		if !g.leased() || wait.sleep(g.ctx) != nil {
			return fmt.Errorf("commits are refused: %w", again)
		}
	}
	for _, n := range news {
		n.p.mu.Lock()
		n.p.said = n.commit
		for _, b := range n.batches {
			b.intended = true
		}
		n.p.mu.Unlock()
		wake(n.p.intended)
	}
	return nil
}

// read sorts the answers of a commit: an error ends the generation, again is
// a reason to send the same once more.
func (g *generation) read(res *kafka.OffsetCommitResponse) (again, err error) {
	for topic, partitions := range res.Topics {
		for _, p := range partitions {
			switch {
			case p.Error == nil:
			case errors.Is(p.Error, kafka.GroupLoadInProgress), errors.Is(p.Error, kafka.GroupCoordinatorNotAvailable),
				errors.Is(p.Error, kafka.NotCoordinatorForGroup), errors.Is(p.Error, kafka.RequestTimedOut):
				again = fmt.Errorf("commit of %s/%d: %w", topic, p.Partition, p.Error)
			default:
				// 22 illegal generation, 25 unknown member, 27 rebalance in
				// progress, 82 fenced instance; 3 a topic that was deleted,
				// which the next start reports; 12 would be a bug in intent.
				return nil, fmt.Errorf("commit of %s/%d is refused: %w", topic, p.Partition, p.Error)
			}
		}
	}
	return again, nil
}

// prove renews the lease without a commit: a heartbeat that is answered shows
// the same, that the generation was current when it was sent.
func (g *generation) prove() error {
	g.mu.Lock()
	age := g.c.now().Sub(g.answered)
	g.mu.Unlock()
	if age < g.c.SessionTimeout/4 {
		return nil
	}
	sentAt := g.c.now()
	ctx, cancel := context.WithTimeout(g.ctx, g.c.SessionTimeout/3)
	defer cancel()
	res, err := g.c.client.Heartbeat(ctx, &kafka.HeartbeatRequest{GroupID: g.gen.GroupID, GenerationID: g.gen.ID, MemberID: g.gen.MemberID})
	switch {
	case err != nil:
		g.c.fetchErrors.note("a heartbeat got no answer, trying again", err)
		return nil
	case res.Error != nil:
		return fmt.Errorf("a heartbeat is refused: %w", res.Error)
	}
	g.mu.Lock()
	g.answered = sentAt
	g.mu.Unlock()
	return nil
}
