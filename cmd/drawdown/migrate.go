package main

import (
	"context"
	"fmt"
)

// migrateCmd prepares the database.
type migrateCmd struct {
	dataFlags
	clickhouseFlags
	countingFlags
	Cluster string `name:"cluster" env:"DRAWDOWN_CLUSTER" help:"ClickHouse cluster on which every statement runs with replicated engines; empty: one node."`
}

// Run migrates once: it fails at once where ClickHouse cannot be reached.
func (c *migrateCmd) Run(ctx context.Context, e *env) error {
	access, err := c.access(c.Data)
	if err != nil {
		return err
	}
	n := network{clickhouse: access, database: c.Database}
	if err := migrateOnce(ctx, e.Log, n, c.Cluster, c.EventsTTL); err != nil {
		return fmt.Errorf("cannot migrate ClickHouse at %s: %w", access.Addr, err)
	}
	_, _ = fmt.Fprintf(e.Stdout, "Database %s at %s is up to date.\n", c.Database, access.Addr)
	return nil
}
