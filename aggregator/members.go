package aggregator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
)

// member is one membership of the group.
func (a *Aggregator) member(ctx context.Context) error {
	topic := a.cfg.Topics.Ledger
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: a.cfg.Group, Brokers: a.cfg.Brokers, Topics: []string{topic},
		Dialer:            &kafka.Dialer{ClientID: "drawdown-aggregator", Timeout: 5 * time.Second},
		HeartbeatInterval: a.cfg.SessionTimeout / 10, SessionTimeout: a.cfg.SessionTimeout, RebalanceTimeout: a.cfg.SessionTimeout,
		JoinGroupBackoff:      time.Second,
		GroupBalancers:        []kafka.GroupBalancer{kafka.RangeGroupBalancer{}},
		WatchPartitionChanges: true, PartitionWatchInterval: 10 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("cannot configure the consumer group: %w", err)
	}
	defer func() { _ = group.Close() }()
	for {
		gen, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, kafka.RebalanceInProgress):
			continue
		case err != nil:
			a.note(ctx, fmt.Errorf("cannot join the group: %w", err))
			continue
		}
		var partitions []int
		for _, assigned := range gen.Assignments[topic] {
			partitions = append(partitions, assigned.ID)
		}
		slices.Sort(partitions)
		a.log.InfoContext(ctx, "joined", "generation", gen.ID, "member", gen.MemberID, "partitions", len(partitions))
		ended := make(chan struct{})
		gen.Start(func(genCtx context.Context) {
			defer close(ended)
			genCtx, cancel := context.WithCancel(genCtx)
			defer cancel()
			defer context.AfterFunc(ctx, cancel)()
			a.lookAfter(genCtx, partitions)
		})
		<-ended
	}
}

// auditedBy is the partition whose owner audits all of them.
const auditedBy = 0

// lookAfter looks at partitions until ctx ends.
func (a *Aggregator) lookAfter(ctx context.Context, partitions []int) {
	a.own(partitions)
	defer a.own(nil)
	if slices.Contains(partitions, auditedBy) {
		audited := make(chan struct{})
		go func() {
			defer close(audited)
			a.auditor.Run(ctx)
		}()
		defer func() { <-audited }()
	}
	w := newWatch(a, partitions)
	ticker := time.NewTicker(a.cfg.LookEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		err := w.look(ctx)
		if ctx.Err() == nil {
			a.note(ctx, err)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}
