package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/drawdown/drawdown/schemas"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/semaphore"
)

// Config says what a Consumer reads and writes. Zero values of the fields
// below the line mean the default said there.
type Config struct {
	Brokers    []string            // bootstrap addresses of Kafka
	Group      string              // consumer group; its offsets carry the intents
	Topics     schemas.Topics      // names of the topics
	Partitions int                 // of each topic; another count in Kafka parks everything
	Epoch      uint32              // raised when a topic is made anew or repartitioned
	ClickHouse *clickhouse.Options // of the database with the tables
	Limits     schemas.Limits      // what is accepted; part of the rules of a batch
	EventsTTL  schemas.EventsTTL   // hours and ranges before are not repaired; zero: raw events are kept for ever

	// ResumeFromLedger goes on at the ledger's end where the committed offset
	// contradicts it, after verifying what stands past it.
	ResumeFromLedger bool
	// AcceptRules finishes ranges that were begun under other rules.
	AcceptRules bool

	Linger         time.Duration // how long a batch waits for more records; 500 ms
	SessionTimeout time.Duration // of the group; 30 s
	StuckAfter     time.Duration // how long a partition with records waiting may stand still and be healthy; 1 min
	InsertTimeout  time.Duration // after which an INSERT's fate is unknown; 5 min
	Inserts        int           // INSERTs at the same time; 4
	FilterBytes    int           // memory for ids of the consumption topic; 192 MiB
	BatchBytes     int           // memory of all batches being built or written; 192 MiB
	FetchBytes     int           // of one partition in one answer; 2 MiB
	RepairEvery    time.Duration // how often findings of the audit are looked for; 5 s

	Log        *slog.Logger          // slog.Default
	Registerer prometheus.Registerer // a registry of its own
	Now        func() time.Time      // time.Now
}

func (c Config) withDefaults() Config {
	set := func(v *time.Duration, def time.Duration) {
		if *v == 0 {
			*v = def
		}
	}
	size := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	set(&c.Linger, 500*time.Millisecond)
	set(&c.SessionTimeout, 30*time.Second)
	set(&c.StuckAfter, time.Minute) // longer than the slowest INSERT seen under load
	set(&c.InsertTimeout, 5*time.Minute)
	set(&c.RepairEvery, repairEvery)
	size(&c.Inserts, 4)
	size(&c.FilterBytes, 192<<20)
	size(&c.BatchBytes, 192<<20)
	size(&c.FetchBytes, 2<<20)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Config) check() error {
	var failed []error
	require := func(ok bool, problem string) {
		if !ok {
			failed = append(failed, errors.New(problem))
		}
	}
	require(len(c.Brokers) > 0, "no Kafka broker is configured")
	require(c.Group != "", "no consumer group is configured")
	require(c.Partitions > 0, "the partition count is not configured")
	require(c.ClickHouse != nil && len(c.ClickHouse.Addr) > 0, "no ClickHouse address is configured")
	require(c.Topics != schemas.Topics{}, "no topics are configured")
	return errors.Join(failed...)
}

// Consumer is one member of the consumer group for all three topics.
type Consumer struct {
	Config
	rules     string
	log       *slog.Logger
	now       func() time.Time
	transport *kafka.Transport
	client    *kafka.Client
	source    *source
	db        driver.Conn
	store     *store
	metrics   *metrics
	orphans   *orphans
	// rebuilding shares BatchBytes among the ranges that are recovered.
	rebuilding *semaphore.Weighted

	progressed chan struct{}
	// Apart from each other, so that what works does not hide what fails.
	fetchErrors    *trouble // Kafka
	storeErrors    *trouble // INSERTs of batches
	readErrors     *trouble // what is asked of ClickHouse
	progressErrors *trouble // INSERTs of progress

	replaying *replaying // set before Run: offsets to replay instead of consuming

	// Seams for tests of faults: how Kafka is dialled (nil: plainly) and the
	// longest wait between tries of an INSERT (0: see backoff).
	dialKafka func(ctx context.Context, network, addr string) (net.Conn, error)
	retryMost time.Duration

	mu      sync.Mutex
	current *generation
}

// New returns a Consumer. It opens no connection; it fails on a configuration
// that cannot work.
func New(config Config) (*Consumer, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, fmt.Errorf("cannot configure the consumer: %w", err)
	}
	db, err := clickhouse.Open(config.ClickHouse)
	if err != nil {
		return nil, fmt.Errorf("cannot configure the connection to ClickHouse: %w", err)
	}
	// Metadata of the input topics alone, renewed often: a moved leader is
	// found within two seconds.
	transport := &kafka.Transport{MetadataTTL: 2 * time.Second, MetadataTopics: config.Topics.Inputs(), ClientID: "drawdown"}
	addr := kafka.TCP(config.Brokers...)
	log := config.Log.With("stage", "consumers")
	c := &Consumer{
		Config: config, log: log, now: config.Now,
		rules:     config.Limits.Rules(config.Partitions),
		transport: transport,
		client:    &kafka.Client{Addr: addr, Transport: transport, Timeout: 10 * time.Second},
		source:    &source{transport: transport, addr: addr, maxBytes: int32(config.FetchBytes), maxWait: 500 * time.Millisecond, now: config.Now},
		db:        db, store: newStore(config.ClickHouse, config.Inserts, config.InsertTimeout),
		orphans:    &orphans{running: make(map[partitionID]chan struct{}), count: make(map[partitionID]int)},
		rebuilding: semaphore.NewWeighted(int64(config.BatchBytes)),
		progressed: make(chan struct{}, 1),
	}
	failing := func(system string) *trouble { return &trouble{log: log, now: config.Now, system: system} }
	c.fetchErrors, c.storeErrors, c.readErrors, c.progressErrors = failing("kafka"), failing("clickhouse"), failing("clickhouse"), failing("clickhouse")
	c.metrics = newMetrics(c, config.Registerer)
	return c, nil
}

// Run consumes until ctx ends, then drains: what has an intent is written and
// committed, the group is left. It waits for Kafka and ClickHouse for as long
// as it takes and returns nil after a clean stop.
func (c *Consumer) Run(ctx context.Context) error {
	progress, stopProgress := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Add(2)
	go func() {
		defer wg.Done()
		c.progressLoop(progress)
	}()
	go func() {
		defer wg.Done()
		c.repairLoop(progress)
	}()
	defer func() {
		stopProgress()
		wg.Wait()
		c.transport.CloseIdleConnections()
		c.store.close()
		_ = c.db.Close()
	}()
	c.transport.Dial = c.dialKafka
	for ctx.Err() == nil {
		if err := c.member(ctx); err != nil {
			return err
		}
	}
	return nil
}

// member is one membership: it ends with ctx, or when a commit got no answer.
func (c *Consumer) member(ctx context.Context) error {
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: c.Group, Brokers: c.Brokers, Topics: c.Topics.Inputs(),
		Dialer:            &kafka.Dialer{ClientID: "drawdown", Timeout: 5 * time.Second, DialFunc: c.dialKafka},
		HeartbeatInterval: c.SessionTimeout / 15, SessionTimeout: c.SessionTimeout, RebalanceTimeout: c.SessionTimeout,
		JoinGroupBackoff: time.Second, StartOffset: kafka.FirstOffset,
		GroupBalancers:        []kafka.GroupBalancer{kafka.RangeGroupBalancer{}},
		WatchPartitionChanges: true, PartitionWatchInterval: 10 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("cannot configure the consumer group: %w", err)
	}
	defer func() { _ = group.Close() }()
	member := ""
	for {
		gen, err := group.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, kafka.RebalanceInProgress) {
			continue // somebody else joined meanwhile: kafka-go joins again under the same id
		}
		if err != nil {
			c.fetchErrors.note("cannot join the group, trying again", err)
			if member != "" {
				c.leave(ctx, member)
				member = ""
			}
			continue
		}
		member = gen.MemberID
		c.fetchErrors.clear("joined the group")
		ended := make(chan bool, 1)
		gen.Start(func(genCtx context.Context) { ended <- c.runGeneration(genCtx, ctx, gen) })
		leave := <-ended
		if leave && ctx.Err() == nil {
			c.leave(ctx, member)
		}
		if leave || ctx.Err() != nil {
			return nil
		}
	}
}

// leave takes a member that is given up out of the group: kafka-go forgets its
// id when the coordinator does not answer, and the group would wait for it
// until its session ends. Only then is it no use to try any more: nobody could
// join before.
func (c *Consumer) leave(ctx context.Context, member string) {
	ctx, cancel := context.WithTimeout(ctx, c.SessionTimeout)
	defer cancel()
	wait := backoff{most: time.Second}
	for {
		requestCtx, cancel := context.WithTimeout(ctx, time.Second)
		res, err := c.client.LeaveGroup(requestCtx, &kafka.LeaveGroupRequest{
			GroupID: c.Group, Members: []kafka.LeaveGroupRequestMember{{ID: member}},
		})
		cancel()
		if err == nil && (res.Error == nil || errors.Is(res.Error, kafka.UnknownMemberId)) {
			return
		}
		if wait.sleep(ctx) != nil {
			return
		}
	}
}

// logRange returns the first offset of a partition's log and its end.
func (c *Consumer) logRange(ctx context.Context, topic string, partition int) (first, end int64, err error) {
	res, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)},
	}})
	if err != nil {
		return 0, 0, fmt.Errorf("cannot list the offsets of %s/%d: %w", topic, partition, err)
	}
	answers := res.Topics[topic]
	if len(answers) == 0 {
		return 0, 0, fmt.Errorf("cannot list the offsets of %s/%d: not in the answer", topic, partition)
	}
	if err := answers[0].Error; err != nil {
		return 0, 0, fmt.Errorf("cannot list the offsets of %s/%d: %w", topic, partition, err)
	}
	return answers[0].FirstOffset, answers[0].LastOffset, nil
}

func (c *Consumer) enter(g *generation) { c.mu.Lock(); c.current = g; c.mu.Unlock() }

func (c *Consumer) exit(g *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == g {
		c.current = nil
	}
	for _, p := range g.partitions {
		p.mu.Lock()
		if p.parked != nil {
			c.metrics.parked.DeleteLabelValues(p.topic, fmt.Sprint(p.id), p.parked.reason)
		}
		p.mu.Unlock()
	}
}

// partitions returns what is assigned now.
func (c *Consumer) partitions() []*partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return nil
	}
	return c.current.partitions
}

// partitionID names a partition of a topic.
type partitionID struct {
	topic string
	id    int
}

// orphans are the INSERTs under way per partition, whoever waits for them: a
// new owner in this process lets those of the last generation end first
// (invariant 7).
type orphans struct {
	mu      sync.Mutex
	running map[partitionID]chan struct{} // closed when the count is back to 0
	count   map[partitionID]int
}

func (o *orphans) hold(topic string, id int) (release func()) {
	key := partitionID{topic, id}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count[key]++; o.count[key] == 1 {
		o.running[key] = make(chan struct{})
	}
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.count[key]--; o.count[key] == 0 {
			close(o.running[key])
			delete(o.running, key)
			delete(o.count, key)
		}
	}
}

func (o *orphans) wait(ctx context.Context, topic string, id int) error {
	o.mu.Lock()
	done := o.running[partitionID{topic, id}]
	o.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
