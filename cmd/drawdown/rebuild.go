package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/drawdown/drawdown/schemas"
)

// rebuilt is how a rollup is made from what it comes from. Only the first has a
// source that ages out: minutes before raw_from are copied as they are.
var rebuilt = map[string]string{
	"usage_1m": `SELECT workspace_id, toStartOfMinute(toDateTime(time, 'UTC')) AS bucket, campaign_id, action,
		sum(toInt128(credits_micro)) AS credits_micro, sum(toInt128(if(events.credits_micro < 0, -events.credits_micro, 0))) AS refunds_micro, toInt64(count()) AS events
		FROM events WHERE time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') GROUP BY workspace_id, bucket, campaign_id, action
		UNION ALL SELECT workspace_id, bucket, campaign_id, action, sum(credits_micro), sum(refunds_micro), sum(events)
		FROM usage_1m WHERE bucket < toDateTime(intDiv({from:Int64}, 1000), 'UTC') GROUP BY workspace_id, bucket, campaign_id, action`,
	"usage_15m": `SELECT workspace_id, toStartOfFifteenMinutes(u.bucket) AS bucket, campaign_id, action,
		sum(u.credits_micro) AS credits_micro, sum(u.refunds_micro) AS refunds_micro, sum(u.events) AS events
		FROM usage_1m AS u GROUP BY workspace_id, bucket, campaign_id, action`,
	"usage_15m_total": `SELECT workspace_id, u.bucket AS bucket,
		sum(u.credits_micro) AS credits_micro, sum(u.refunds_micro) AS refunds_micro, sum(u.events) AS events
		FROM usage_15m AS u GROUP BY workspace_id, bucket`,
	"usage_1d": `SELECT workspace_id, toDateTime(toStartOfDay(u.bucket, 'UTC'), 'UTC') AS bucket, campaign_id, action,
		sum(u.credits_micro) AS credits_micro, sum(u.refunds_micro) AS refunds_micro, sum(u.events) AS events
		FROM usage_15m AS u GROUP BY workspace_id, bucket, campaign_id, action`,
}

// rebuild makes a rollup anew beside the old one and exchanges the two. No
// consumer may run, and none may have left an intent behind: an INSERT that is
// repeated after the exchange would find its token in the old table only, and
// what a view adds between reading and exchange would be in the old one only. A
// run that is killed leaves the old table or the new one in place, never
// neither; the next begins anew.
func (c *migrateCmd) rebuild(ctx context.Context, e *env) (err error) {
	conn, err := c.open(ctx, c.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := c.quiet(ctx); err != nil {
		return err
	}
	before, err := countedEvents(ctx, conn)
	if err != nil {
		return err
	}
	fresh := c.Rebuild + "_rebuild"
	for _, statement := range []string{
		"DROP TABLE IF EXISTS " + fresh + " SYNC",
		"CREATE TABLE " + fresh + " AS " + c.Rebuild,
	} {
		if err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("cannot prepare %s: %w", fresh, err)
		}
	}
	from := schemas.Millis(0)
	if edge, ok := c.EventsTTL.RawFrom(e.Now()); ok {
		const hour = 3_600_000
		from = (edge + hour - 1) / hour * hour // whole buckets are copied, or made
	}
	// Blocks that happen to be equal are not the same: nothing is deduplicated.
	settings := clickhouse.Settings{"insert_deduplicate": 0, "deduplicate_insert": "disable", "deduplicate_insert_select": "disable", "max_execution_time": 0}
	making := clickhouse.Context(ctx, clickhouse.WithSettings(settings), clickhouse.WithParameters(clickhouse.Parameters{"from": fmt.Sprint(int64(from))}))
	if err := conn.Exec(making, "INSERT INTO "+fresh+" "+rebuilt[c.Rebuild]); err != nil {
		return fmt.Errorf("cannot make %s anew: %w", c.Rebuild, err)
	}
	after, err := countedEvents(ctx, conn)
	if err == nil {
		err = c.quiet(ctx)
	}
	if err == nil && after != before {
		err = errors.New("events were counted meanwhile: stop the consumers, then run this again")
	}
	if err != nil {
		return errors.Join(err, conn.Exec(ctx, "DROP TABLE IF EXISTS "+fresh+" SYNC"))
	}
	if err := conn.Exec(ctx, "EXCHANGE TABLES "+c.Rebuild+" AND "+fresh); err != nil {
		return fmt.Errorf("cannot exchange %s: %w", c.Rebuild, err)
	}
	if err := conn.Exec(ctx, "DROP TABLE "+fresh+" SYNC"); err != nil {
		return fmt.Errorf("%s is made anew, but the old one cannot be removed: %w; remove table %s", c.Rebuild, err, fresh)
	}
	_, _ = fmt.Fprintf(e.Stdout, "%s is made anew.\n", c.Rebuild)
	return nil
}

// countedEvents tells whether anything was inserted between two calls.
func countedEvents(ctx context.Context, conn driver.Conn) (n uint64, err error) {
	if err := conn.QueryRow(ctx, "SELECT count() FROM events").Scan(&n); err != nil {
		return 0, fmt.Errorf("cannot count the events: %w", err)
	}
	return n, nil
}

// quiet fails while a consumer is in the group or has left an intent behind.
func (c *migrateCmd) quiet(ctx context.Context) error {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(c.Brokers...), Transport: transport, Timeout: 10 * time.Second}
	groups, err := client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{c.Group}})
	if err != nil {
		return fmt.Errorf("cannot ask Kafka at %s for group %s: %w; a rollup is made anew only where it is known that no consumer runs", strings.Join(c.Brokers, ","), c.Group, err)
	}
	for _, g := range groups.Groups {
		if len(g.Members) > 0 {
			return usageError{fmt.Errorf("%d consumers are in group %s: stop them, then run this again", len(g.Members), c.Group)}
		}
	}
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: c.topics().Inputs()})
	if err != nil {
		return fmt.Errorf("cannot ask for the topics: %w", err)
	}
	asked := map[string][]int{}
	for _, topic := range metadata.Topics {
		if topic.Error != nil {
			return fmt.Errorf("cannot use topic %s: %w", topic.Name, topic.Error)
		}
		for _, p := range topic.Partitions {
			asked[topic.Name] = append(asked[topic.Name], p.ID)
		}
	}
	offsets, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: c.Group, Topics: asked})
	if err == nil {
		err = offsets.Error
	}
	if errors.Is(err, kafka.GroupIdNotFound) { // nobody ever consumed
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot ask for the offsets of group %s: %w", c.Group, err)
	}
	for topic, parts := range offsets.Topics {
		for _, p := range parts {
			// format;epoch;rules;ranges: a clean stop leaves no range.
			if p.Error != nil {
				return fmt.Errorf("cannot read the offset of %s/%d: %w", topic, p.Partition, p.Error)
			}
			if p.Metadata != "" && !strings.HasSuffix(p.Metadata, ";") {
				return usageError{fmt.Errorf("a consumer was killed with a batch of %s/%d pending: start one, stop it with SIGTERM, then run this again", topic, p.Partition)}
			}
		}
	}
	return nil
}
