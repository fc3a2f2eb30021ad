package schemas

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
)

// Topic is the role of a Kafka topic. The topic that plays it has the same
// name unless configured otherwise in [Topics].
type Topic string

// The roles of DESIGN section 3.
const (
	ConsumptionTopic Topic = "credits.consumption" // credits.consumed
	LedgerTopic      Topic = "credits.ledger"      // grants, adjustments, voids
	CampaignsTopic   Topic = "credits.campaigns"   // states of campaigns and workspaces
	AlertsTopic      Topic = "credits.alerts"      // out: incidents, for whoever pauses campaigns
)

// ProbeWorkspace is reserved for the events by which an API measures how long
// one takes to become an answer. They use no credits, and the workspace is in no
// list, in no view for analysts, and has no alerts.
const ProbeWorkspace = "drawdown.probe"

// Topics holds the configured name of each role.
type Topics struct {
	Consumption string
	Ledger      string
	Campaigns   string
	Alerts      string
}

// DefaultTopics names every topic after its role.
func DefaultTopics() Topics {
	return Topics{
		Consumption: string(ConsumptionTopic),
		Ledger:      string(LedgerTopic),
		Campaigns:   string(CampaignsTopic),
		Alerts:      string(AlertsTopic),
	}
}

// Name returns the configured name of role, or "" for an unknown role.
func (t Topics) Name(role Topic) string {
	switch role {
	case ConsumptionTopic:
		return t.Consumption
	case LedgerTopic:
		return t.Ledger
	case CampaignsTopic:
		return t.Campaigns
	case AlertsTopic:
		return t.Alerts
	}
	return ""
}

// Role returns the role that the topic called name plays.
func (t Topics) Role(name string) (Topic, bool) {
	for _, role := range []Topic{ConsumptionTopic, LedgerTopic, CampaignsTopic, AlertsTopic} {
		if t.Name(role) == name {
			return role, true
		}
	}
	return "", false
}

// Inputs returns the names of the three topics that are consumed.
func (t Topics) Inputs() []string { return []string{t.Consumption, t.Ledger, t.Campaigns} }

// Partition returns the partition, of so many, to which every event of a
// workspace belongs: murmur2 as the Java client, kafka-go's Murmur2Balancer
// and ClickHouse's kafkaMurmurHash have it. partitions must be positive.
func Partition(workspaceID []byte, partitions int) int {
	return int(murmur2(workspaceID)&0x7fffffff) % partitions
}

// murmur2 is Austin Appleby's MurmurHash2 with the seed that Kafka's Java
// client gives it (org.apache.kafka.common.utils.Utils.murmur2).
func murmur2(data []byte) uint32 {
	const (
		seed     = 0x9747b28c
		multiply = 0x5bd1e995
	)
	h := uint32(seed) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= multiply
		k ^= k >> 24
		k *= multiply
		h = h*multiply ^ k
	}
	if len(data) > 0 {
		for i, b := range data {
			h ^= uint32(b) << (8 * i)
		}
		h *= multiply
	}
	h ^= h >> 13
	h *= multiply
	return h ^ h>>15
}

const (
	// DefaultPartitions is the partition count of a real installation.
	DefaultPartitions = 12
	// EmbeddedPartitions is the partition count of the embedded broker.
	EmbeddedPartitions = 4

	// DefaultConsumptionRetention leaves two weeks to repair whatever stands
	// between Kafka and ClickHouse.
	DefaultConsumptionRetention = 14 * 24 * time.Hour
	// UnlimitedRetention keeps a topic for ever.
	UnlimitedRetention time.Duration = -1

	alertsRetention = 14 * 24 * time.Hour
	// maxMessageBytes is the largest batch of records a topic takes, 16 times
	// the largest value that is decoded, so that an oversized event arrives
	// and is rejected where it can be seen.
	maxMessageBytes = 16 << 20
	// maxPartitions is what column kpart holds.
	maxPartitions = 1 << 16
)

// CreateTopicsConfig says how topics are created.
type CreateTopicsConfig struct {
	Topics            Topics
	Partitions        int // of each topic, so that workspace -> partition is one function
	ReplicationFactor int // 0: 1
	// ConsumptionRetention is the retention of consumption, in whole
	// milliseconds; UnlimitedRetention for ever, 0 the default of 14 days. The
	// ledger and the campaigns are kept for ever, alerts for 14 days.
	ConsumptionRetention time.Duration
}

// CreateTopics creates the four topics where they are missing and checks the
// partition count of those that exist. It is idempotent. A topic with another
// partition count is an error that names it; nothing is changed then, because
// a workspace would move to another partition.
func CreateTopics(ctx context.Context, client *kafka.Client, config CreateTopicsConfig) error {
	if config.Partitions < 1 || config.Partitions > maxPartitions {
		return fmt.Errorf("cannot create topics with %d partitions: want 1 to %d", config.Partitions, maxPartitions)
	}
	response, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: config.topics()})
	if err != nil {
		return fmt.Errorf("cannot create topics: %w", err)
	}
	var failed []error
	for name, err := range response.Errors {
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			failed = append(failed, fmt.Errorf("cannot create topic %s with %d partitions: %w", name, config.Partitions, err))
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	return awaitTopics(ctx, client, config.Topics, config.Partitions)
}

const (
	// topicsWithin is how long a topic may stay unknown after the broker said
	// that it exists: metadata comes from a cache, which kafka-go renews every
	// 6 s by default, and reaches the other brokers a little later.
	topicsWithin = 15 * time.Second
	topicsPause  = 100 * time.Millisecond
)

// awaitTopics is CheckTopics for topics that exist, but may not be known yet.
func awaitTopics(ctx context.Context, client *kafka.Client, topics Topics, partitions int) error {
	ctx, cancel := context.WithTimeout(ctx, topicsWithin)
	defer cancel()
	for {
		err := CheckTopics(ctx, client, topics, partitions)
		if !errors.Is(err, kafka.UnknownTopicOrPartition) && !errors.Is(err, kafka.LeaderNotAvailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(topicsPause):
		}
	}
}

func (c CreateTopicsConfig) topics() []kafka.TopicConfig {
	consumption := c.ConsumptionRetention
	if consumption == 0 {
		consumption = DefaultConsumptionRetention
	}
	retention := map[Topic]time.Duration{
		ConsumptionTopic: consumption,
		LedgerTopic:      UnlimitedRetention,
		CampaignsTopic:   UnlimitedRetention,
		AlertsTopic:      alertsRetention,
	}
	topics := make([]kafka.TopicConfig, 0, len(retention))
	for _, role := range []Topic{ConsumptionTopic, LedgerTopic, CampaignsTopic, AlertsTopic} {
		millis := int64(-1)
		if retention[role] >= 0 {
			millis = retention[role].Milliseconds()
		}
		topics = append(topics, kafka.TopicConfig{
			Topic:             c.Topics.Name(role),
			NumPartitions:     c.Partitions,
			ReplicationFactor: max(c.ReplicationFactor, 1),
			ConfigEntries: []kafka.ConfigEntry{
				{ConfigName: "cleanup.policy", ConfigValue: "delete"},
				{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(millis, 10)},
				{ConfigName: "retention.bytes", ConfigValue: "-1"},
				{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(maxMessageBytes)},
			},
		})
	}
	return topics
}

// ErrPartitionCount says that a topic has another number of partitions than
// configured, so that workspaces would be looked for in the wrong ones.
var ErrPartitionCount = errors.New("wrong partition count")

// CheckTopics returns an error that names every topic that does not exist or
// has another number of partitions than configured (ErrPartitionCount).
func CheckTopics(ctx context.Context, client *kafka.Client, topics Topics, partitions int) error {
	names := append(topics.Inputs(), topics.Alerts)
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		return fmt.Errorf("cannot read the partitions of topics: %w", err)
	}
	found := map[string]kafka.Topic{}
	for _, topic := range metadata.Topics {
		found[topic.Name] = topic
	}
	var failed []error
	for _, name := range names {
		topic, known := found[name]
		switch {
		case !known:
			failed = append(failed, fmt.Errorf("cannot read the partitions of topic %s: %w", name, kafka.UnknownTopicOrPartition))
		case topic.Error != nil:
			failed = append(failed, fmt.Errorf("cannot read the partitions of topic %s: %w", name, topic.Error))
		case len(topic.Partitions) != partitions:
			failed = append(failed, fmt.Errorf("%w: topic %s has %d partitions, %d are configured: set the partition count to %d, or recreate the topics and raise the epoch",
				ErrPartitionCount, name, len(topic.Partitions), partitions, len(topic.Partitions)))
		}
	}
	return errors.Join(failed...)
}
