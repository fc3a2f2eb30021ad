package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/drawdown/drawdown/schemas/rebuilds"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// rebuild makes a rollup anew while the consumers go on, or ends that.
func (c *migrateCmd) rebuild(ctx context.Context, e *env) (err error) {
	conn, err := c.open(ctx, c.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	o := rebuilds.Options{
		Conn: conn, Rollup: c.Rebuild, EventsTTL: c.EventsTTL, Now: e.Now,
		Progress: func(text string) { _, _ = fmt.Fprintf(e.Stderr, "%s: %s\n", c.Rebuild, text) },
	}
	if c.GiveUp {
		if err := rebuilds.GiveUp(ctx, o); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(e.Stdout, "The rebuild of %s is over.\n", c.Rebuild)
		return nil
	}
	if c.Rebuild == rollup.Levels[0].Table {
		if err := c.eventsComplete(ctx, conn); err != nil {
			return err
		}
	}
	switch err := rebuilds.Run(ctx, o); {
	case ctx.Err() != nil:
		return fmt.Errorf("stopped: run the same again to go on, or with --give-up to keep the old table: %w", err)
	case err != nil:
		return err
	}
	_, _ = fmt.Fprintf(e.Stdout, "%s is made anew.\n", c.Rebuild)
	return nil
}

// eventsComplete fails where a rollup would be made of raw events of which some
// are gone: the old one may be all that knows of them.
func (c *migrateCmd) eventsComplete(ctx context.Context, conn driver.Conn) error {
	var definition string
	if err := conn.QueryRow(ctx, "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'events'").Scan(&definition); err != nil {
		return fmt.Errorf("cannot look at table events: %w", err)
	}
	if !c.EventsTTL.AcceptsTTL(definition) {
		return usageError{fmt.Errorf("raw events are not kept for --events-ttl %s in this database: give the one that it was migrated with, for minutes whose raw events have aged out must be copied", c.EventsTTL)}
	}
	if c.MissingEvents {
		return nil
	}
	var missing, mending uint64
	// What differs in usage_1m and is not confirmed may yet turn out to be that; of an
	// earlier epoch nobody confirms it, but sees it again.
	const query = `SELECT countIf(state = 'unprovable'), countIf(state = 'drift' AND (workspace_id = '' OR step = 1 AND epoch = (SELECT max(epoch) FROM ingest_batches))) FROM audits FINAL
		WHERE workspace_id = '' AND what IN ('events', 'ingest_batches') OR what = 'usage_1m'`
	if err := conn.QueryRow(ctx, query).Scan(&missing, &mending); err != nil {
		return fmt.Errorf("cannot read what the audit has found: %w", err)
	}
	switch {
	case missing > 0:
		return usageError{fmt.Errorf("raw events of %d ranges or hours are missing for good, see table audits: what usage_1m alone still knows of them would be lost; add --accept-missing-events if it knows less", missing)}
	case mending > 0:
		return usageError{fmt.Errorf("raw events of %d ranges or hours are not yet mended or proven, see drawdown audit: what usage_1m alone still knows of them would be lost; run this again once the audit has proven them and a consumer has mended them, or add --accept-missing-events", mending)}
	}
	return nil
}
