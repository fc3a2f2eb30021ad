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
	Cluster       string `name:"cluster" env:"DRAWDOWN_CLUSTER" help:"ClickHouse cluster on which every statement runs with replicated engines; empty: one node."`
	Rebuild       string `name:"rebuild" enum:",usage_1m,usage_15m,usage_15m_total,usage_1d" default:"" placeholder:"ROLLUP" help:"Make a rollup anew instead, from what it comes from (usage_1m from the raw events, the others from the next finer one), and exchange it with the old one, while the consumers go on: they fill it in. Finer ones first. A run that was stopped is gone on with."`
	GiveUp        bool   `name:"give-up" help:"With --rebuild: end a rebuild that was stopped and keep the old table."`
	MissingEvents bool   `name:"accept-missing-events" help:"With --rebuild usage_1m: also where the audit found that raw events are missing for good."`
}

// Run migrates once: it fails at once where ClickHouse cannot be reached.
func (c *migrateCmd) Run(ctx context.Context, e *env) error {
	access, err := c.access(c.Data)
	if err != nil {
		return err
	}
	if c.Rebuild == "" && (c.GiveUp || c.MissingEvents) {
		return usageError{errors.New("--give-up and --accept-missing-events go with --rebuild")}
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
