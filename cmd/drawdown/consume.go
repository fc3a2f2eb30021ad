package main

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/drawdown/drawdown/queryapi"
	"github.com/drawdown/drawdown/schemas"
)

// consumeCmd is one member of the consumer group as a process of its own.
type consumeCmd struct {
	dataFlags
	kafkaFlags
	clickhouseFlags
	countingFlags
	consumerFlags
	Replay    *replayFlag `name:"replay" placeholder:"TOPIC/PARTITION/FROM..TO" help:"Instead of consuming, read these offsets again, put in what the tables lack of them, remove what is there twice and mend the rollups of what that changes; then end. No other consumer may run. Exit 1 if something could not be proven."`
	OpsListen string      `name:"ops-listen" env:"DRAWDOWN_OPS_LISTEN" default:"127.0.0.1:8081" help:"Address of health and metrics; port 0 takes any."`
}

// Run consumes until ctx ends, then drains.
func (c *consumeCmd) Run(ctx context.Context, e *env) error {
	access, err := c.access(c.Data)
	if err != nil {
		return err
	}
	c.boundMemory(besidesConsumer)
	e.Log.Info("configuration", e.Settings...)
	opsListener, err := listen(ctx, c.OpsListen, "--ops-listen")
	if err != nil {
		return err
	}
	registry := newRegistry()
	var started phase
	ops := queryapi.NewOps(registry, e.Log, started.check())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return ops.Run(groupCtx, opsListener) })
	group.Go(func() error {
		n := network{brokers: c.Brokers, topics: c.topics(), partitions: c.Partitions, clickhouse: access, database: c.Database}
		if n.partitions, err = prepareTopics(groupCtx, e.Log, n, schemas.DefaultPartitions, schemas.DefaultConsumptionRetention); err != nil {
			return ignoreCanceled(err)
		}
		if c.Replay != nil {
			if err := c.Replay.place(n); err != nil {
				return err
			}
		}
		if err := logIn(groupCtx, e.Log, n); err != nil {
			return ignoreCanceled(err)
		}
		consumer, err := newConsumer(n, c.countingFlags, c.consumerFlags, e.Log, registry)
		if err != nil {
			return err
		}
		if c.Replay != nil {
			defer stop()
			return c.replay(groupCtx, consumer, e)
		}
		started.done(queryapi.Check{Name: "consumers", Ready: consumer.Ready, Live: consumer.Live})
		return consumer.Run(groupCtx)
	})
	return group.Wait()
}
