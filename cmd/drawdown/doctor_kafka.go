package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/consumers"
	"github.com/drawdown/drawdown/schemas"
)

// kafkaUnreachable marks an error over which nothing more is asked of Kafka.
type kafkaUnreachable struct{ error }

func (e kafkaUnreachable) Unwrap() error { return e.error }

// logPart is a partition as Kafka has it.
type logPart struct {
	start, end int64
	committed  int64 // -1: nothing
	accounted  int64 // up to which the commit accounts for the ledger of batches
}

// kafkaState is what was read of Kafka.
type kafkaState struct {
	brokers    int
	partitions map[string]int // by topic
	parts      map[string][]logPart
	members    int
}

// topics looks whether the topics are there, whole, and alike.
func (x *examination) topics(ctx context.Context) error {
	names := append(x.kafkaFlags.topics().Inputs(), x.kafkaFlags.topics().Alerts)
	metadata, err := x.client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		return kafkaUnreachable{fmt.Errorf("cannot reach Kafka: %w", err)}
	}
	x.log = kafkaState{brokers: len(metadata.Brokers), partitions: map[string]int{}, parts: map[string][]logPart{}}
	want, counts := x.Partitions, []string(nil)
	for _, topic := range metadata.Topics {
		if topic.Error != nil {
			x.found("topics", topic.Name, fmt.Sprintf("the topic cannot be used: %v", topic.Error), "drawdown consume --kafka-brokers %s   # makes missing topics at its start", strings.Join(x.Brokers, ","))
			continue
		}
		x.log.partitions[topic.Name] = len(topic.Partitions)
		counts = append(counts, fmt.Sprintf("%s %d", topic.Name, len(topic.Partitions)))
		for _, p := range topic.Partitions {
			if what, fix := badPartition(p, len(metadata.Brokers)); what != "" {
				x.found("replicas", fmt.Sprintf("%s/%d", topic.Name, p.ID), what, fix, x.Brokers[0])
			}
		}
	}
	slices.Sort(counts)
	if want == 0 {
		want = x.log.partitions[x.kafkaFlags.topics().Consumption]
	}
	for _, name := range x.kafkaFlags.topics().Inputs() {
		if n, ok := x.log.partitions[name]; ok && n != want {
			x.found("partitions", name, fmt.Sprintf("it has %d partitions instead of %d (%s): workspaces are looked for in the wrong ones, and every partition parks", n, want, strings.Join(counts, ", ")),
				"drawdown consume --partitions %d --epoch %d   # after all topics have been made with that count, or were made anew", max(n, want), x.Epoch+1)
		}
	}
	return x.readLog(ctx)
}

// badPartition says what is wrong with the replicas of a partition, or nothing,
// and the format of what cures it, which takes the address of a broker.
func badPartition(p kafka.Partition, brokers int) (what, fix string) {
	switch {
	case p.Error != nil:
		return fmt.Sprintf("the partition has no leader: %v", p.Error), "kafka-topics.sh --bootstrap-server %s --describe --unavailable-partitions   # and start the brokers that it names"
	case len(p.Isr) < len(p.Replicas):
		return fmt.Sprintf("%d of %d replicas are in sync", len(p.Isr), len(p.Replicas)), "kafka-topics.sh --bootstrap-server %s --describe --under-replicated-partitions   # and start the brokers that it names"
	case len(p.Replicas) < 2 && brokers > 1:
		return fmt.Sprintf("it has one replica although there are %d brokers: a broker that is lost takes events with it", brokers),
			"kafka-reassign-partitions.sh --bootstrap-server %s --execute --reassignment-json-file REPLICAS.json"
	}
	return "", ""
}

// readLog notes start, end and committed offset of every partition.
func (x *examination) readLog(ctx context.Context) error {
	asked, committed := map[string][]kafka.OffsetRequest{}, map[string][]int{}
	for _, name := range x.kafkaFlags.topics().Inputs() {
		parts := make([]logPart, x.log.partitions[name])
		for id := range parts {
			parts[id].committed = -1
			asked[name] = append(asked[name], kafka.FirstOffsetOf(id), kafka.LastOffsetOf(id))
			committed[name] = append(committed[name], id)
		}
		x.log.parts[name] = parts
	}
	// Committed before ended: neither can pass the other that way.
	var offsets *kafka.OffsetFetchResponse
	err := patiently(ctx, func() (err error) {
		if offsets, err = x.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: x.Group, Topics: committed}); err != nil {
			return err
		}
		return offsets.Error
	})
	if errors.Is(err, kafka.GroupIdNotFound) { // which is told by group
		offsets, err = &kafka.OffsetFetchResponse{}, nil
	}
	if err != nil {
		return fmt.Errorf("cannot ask for the offsets of group %s: %w", x.Group, err)
	}
	for name, parts := range offsets.Topics {
		for _, p := range parts {
			part := &x.log.parts[name][p.Partition]
			part.committed, part.accounted = p.CommittedOffset, consumers.Accounted(p.Metadata, p.CommittedOffset)
		}
	}
	answer, err := x.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: asked})
	if err != nil {
		return fmt.Errorf("cannot ask for the ends of the topics: %w", err)
	}
	for name, parts := range answer.Topics {
		for _, p := range parts {
			if p.Error == nil {
				x.log.parts[name][p.Partition].start, x.log.parts[name][p.Partition].end = p.FirstOffset, p.LastOffset
			}
		}
	}
	return nil
}

// leastMessageBytes is max.message.bytes of a topic; DESIGN section 3.
const leastMessageBytes = 16777216

// topicConfigs looks at what decides how long Kafka keeps what it acknowledged.
func (x *examination) topicConfigs(ctx context.Context) error {
	if x.client == nil {
		return nil
	}
	var resources []kafka.DescribeConfigRequestResource
	for name := range x.log.partitions {
		resources = append(resources, kafka.DescribeConfigRequestResource{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: name,
			ConfigNames: []string{"retention.ms", "retention.bytes", "cleanup.policy", "max.message.bytes"},
		})
	}
	if len(resources) == 0 {
		return nil
	}
	answer, err := x.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: resources})
	if err != nil {
		return fmt.Errorf("cannot ask for the configuration of the topics: %w", err)
	}
	for _, topic := range answer.Resources {
		if topic.Error != nil {
			return fmt.Errorf("cannot ask for the configuration of topic %s: %w", topic.ResourceName, topic.Error)
		}
		values := map[string]string{}
		for _, entry := range topic.ConfigEntries {
			values[entry.ConfigName] = entry.ConfigValue
		}
		x.topicConfig(topic.ResourceName, values)
	}
	return nil
}

func (x *examination) topicConfig(name string, values map[string]string) {
	set := func(entry, value string) string {
		return fmt.Sprintf("kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config %s=%s", x.Brokers[0], name, entry, value)
	}
	number := func(entry string) int64 {
		n, err := strconv.ParseInt(values[entry], 10, 64)
		if err != nil {
			return -1 // not said: the broker has no bound of its own
		}
		return n
	}
	least := schemas.DefaultConsumptionRetention
	role := x.role(name)
	retention := number("retention.ms")
	switch {
	case retention < 0:
	case role == schemas.LedgerTopic || role == schemas.CampaignsTopic:
		x.found("retention", name, fmt.Sprintf("retention.ms is %d: grants and states that are older are lost to whoever counts anew", retention), "%s", set("retention.ms", "-1"))
	case retention < least.Milliseconds():
		x.found("retention", name, fmt.Sprintf("retention.ms is %d, %s: a longer outage loses events, and the audit cannot prove or mend what is older; events may be up to %s late",
			retention, time.Duration(retention)*time.Millisecond, schemas.DefaultLimits().Lateness), "%s", set("retention.ms", strconv.FormatInt(least.Milliseconds(), 10)))
	}
	if bytes := number("retention.bytes"); bytes >= 0 {
		x.found("retention", name, fmt.Sprintf("retention.bytes is %d: a burst shortens how long events are kept", bytes), "%s", set("retention.bytes", "-1"))
	}
	if policy := values["cleanup.policy"]; policy != "" && policy != "delete" {
		x.found("cleanup.policy", name, fmt.Sprintf("cleanup.policy is %s: Kafka removes all events of a workspace but the last, because its id is their key", policy), "%s", set("cleanup.policy", "delete"))
	}
	if size := number("max.message.bytes"); size >= 0 && size < leastMessageBytes {
		x.found("max.message.bytes", name, fmt.Sprintf("max.message.bytes is %d: batches of producers and rerouted records are refused", size), "%s", set("max.message.bytes", strconv.Itoa(leastMessageBytes)))
	}
}

// movesWithin is how long a group may be without a coordinator, as it is while
// it moves to another broker; more than twice the six seconds that Apache Kafka
// takes after a broker was lost.
const movesWithin = 15 * time.Second

// patiently asks again while the group's coordinator moves or is only starting.
func patiently(ctx context.Context, ask func() error) error {
	for began := time.Now(); ; {
		err := ask()
		moves := errors.Is(err, kafka.GroupLoadInProgress) || errors.Is(err, kafka.GroupCoordinatorNotAvailable) || errors.Is(err, kafka.NotCoordinatorForGroup)
		if !moves || time.Since(began) > movesWithin {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// group looks whether somebody consumes, and from where.
func (x *examination) group(ctx context.Context) error {
	if x.client == nil {
		return nil
	}
	var groups []kafka.DescribeGroupsResponseGroup
	err := patiently(ctx, func() error {
		answer, err := x.client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{x.Group}})
		if err != nil {
			return err
		}
		groups = answer.Groups
		for _, g := range groups {
			err = errors.Join(err, g.Error)
		}
		return err
	})
	if err != nil && groups == nil {
		return fmt.Errorf("cannot ask for group %s: %w", x.Group, err)
	}
	for _, g := range groups {
		x.log.members = len(g.Members)
		switch {
		case g.Error != nil && !errors.Is(g.Error, kafka.GroupIdNotFound):
			x.found("group", x.Group, fmt.Sprintf("the group cannot be described: %v", g.Error), "drawdown consume --kafka-group %s", x.Group)
		case len(g.Members) == 0:
			x.found("group", x.Group, "no consumer is in the group: nothing is counted", "drawdown consume --kafka-group %s", x.Group)
		case g.GroupState != "Stable":
			x.found("group", x.Group, fmt.Sprintf("the group is in state %s: until it is stable nothing is counted", g.GroupState), "drawdown doctor   # again in a minute; if it stays, restart the consumers one after the other")
		}
	}
	for name, parts := range x.log.parts {
		for id, p := range parts {
			where := fmt.Sprintf("%s/%d", name, id)
			switch {
			case p.committed > p.end:
				x.found("offsets", where, fmt.Sprintf("the group is at offset %d, the log ends at %d: the topic was made anew", p.committed, p.end), "drawdown consume --epoch %d", x.Epoch+1)
			case p.committed >= 0 && p.start > p.committed:
				x.found("offsets", where, fmt.Sprintf("the log begins at offset %d, the group is at %d: Kafka has removed %d records that were not counted", p.start, p.committed, p.start-p.committed),
					"kafka-configs.sh --bootstrap-server %s --alter --entity-type topics --entity-name %s --add-config retention.ms=-1   # what is gone must come again from its producers; then drawdown consume --resume-from-ledger", x.Brokers[0], name)
			}
		}
	}
	return nil
}

// stamps looks for records from the future: a clock of a producer, or of a
// broker that stamps records, is ahead.
func (x *examination) stamps(ctx context.Context) error {
	if x.client == nil {
		return nil
	}
	asked, at := map[string][]kafka.OffsetRequest{}, x.env.Now().Add(x.MaxSkew)
	for name, parts := range x.log.parts {
		for id := range parts {
			asked[name] = append(asked[name], kafka.TimeOffsetOf(id, at))
		}
	}
	answer, err := x.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: asked})
	if err != nil {
		return fmt.Errorf("cannot ask for records by their time: %w", err)
	}
	for name, parts := range answer.Topics {
		for _, p := range parts {
			for offset := range p.Offsets { // kafka-go gives the time that was asked for, not the record's
				if p.Error == nil && offset >= 0 {
					x.found("clock", fmt.Sprintf("%s/%d/%d", name, p.Partition, offset), fmt.Sprintf("a record has a timestamp more than %s ahead of this clock: the clock of its producer, of a broker, or of this machine is wrong", x.MaxSkew),
						"chronyc makestep   # on that machine")
				}
			}
		}
	}
	return nil
}
