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
	OpsListen string `name:"ops-listen" env:"DRAWDOWN_OPS_LISTEN" default:"127.0.0.1:8081" help:"Address of health and metrics; port 0 takes any."`
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
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return ops.Run(groupCtx, opsListener) })
	group.Go(func() error {
		n := network{brokers: c.Brokers, topics: c.topics(), partitions: c.Partitions, clickhouse: access, database: c.Database}
		if n.partitions, err = prepareTopics(groupCtx, e.Log, n, schemas.DefaultPartitions, schemas.DefaultConsumptionRetention); err != nil {
			return ignoreCanceled(err)
		}
		if err := logIn(groupCtx, e.Log, n); err != nil {
			return ignoreCanceled(err)
		}
		consumer, err := newConsumer(n, c.countingFlags, c.consumerFlags, e.Log, registry)
		if err != nil {
			return err
		}
		started.done(queryapi.Check{Name: "consumers", Ready: consumer.Ready, Live: consumer.Live})
		return consumer.Run(groupCtx)
	})
	return group.Wait()
}
