package main

import (
	"context"
	"errors"
	"fmt"
)

// migrateCmd prepares the database.
type migrateCmd struct {
	dataFlags
	clickhouseFlags
	countingFlags
	kafkaFlags
	Cluster string `name:"cluster" env:"DRAWDOWN_CLUSTER" help:"ClickHouse cluster on which every statement runs with replicated engines; empty: one node."`
	Rebuild string `name:"rebuild" enum:",usage_1m,usage_15m,usage_15m_total,usage_1d" default:"" placeholder:"ROLLUP" help:"Make a rollup anew from what it comes from (usage_1m from the raw events, the others from the next finer one) instead, while no consumer runs. Finer ones first."`
}

// Run migrates once: it fails at once where ClickHouse cannot be reached.
func (c *migrateCmd) Run(ctx context.Context, e *env) error {
	access, err := c.access(c.Data)
	if err != nil {
		return err
	}
	if c.Rebuild != "" {
		if c.Cluster != "" {
			return usageError{errors.New("--rebuild is for one node, not for a cluster")}
		}
		return c.rebuild(ctx, e)
	}
	n := network{clickhouse: access, database: c.Database}
	if err := migrateOnce(ctx, e.Log, n, c.Cluster, c.EventsTTL); err != nil {
		return fmt.Errorf("cannot migrate ClickHouse at %s: %w", access.Addr, err)
	}
	_, _ = fmt.Fprintf(e.Stdout, "Database %s at %s is up to date.\n", c.Database, access.Addr)
	return nil
}
