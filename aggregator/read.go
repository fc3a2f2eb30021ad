package aggregator

import (
	"context"
	"fmt"
	"math/big"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/drawdown/drawdown/aggregator/balance"
	"github.com/drawdown/drawdown/schemas"
	"github.com/drawdown/drawdown/schemas/rollup"
)

// queryTimeout bounds one statement; a partition of thousands of workspaces is
// read in chunks, so each takes a part of it.
const queryTimeout = 30 * time.Second

// querySettings leave a core to the dashboards. What has more groups than fit
// into half of the memory goes by way of the disk.
var querySettings = clickhouse.Settings{
	"max_threads":                        1,
	"max_memory_usage":                   2 << 30,
	"max_bytes_before_external_group_by": 1 << 30,
}

// query runs a statement with bound parameters and calls scan for each row;
// name is for errors.
func (a *Aggregator) query(ctx context.Context, name, statement string, bound rollup.Parameters, scan func(scan func(...any) error) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot read %s: %w", name, err)
		}
	}()
	defer a.moved()
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	ctx = clickhouse.Context(ctx,
		clickhouse.WithParameters(clickhouse.Parameters(bound)), clickhouse.WithSettings(querySettings))
	return schemas.EachRow(ctx, a.cfg.ClickHouse, statement, scan)
}

// readProgress reads how far all partitions are.
func (a *Aggregator) readProgress(ctx context.Context) (rollup.Progresses, error) {
	known := make(rollup.Progresses)
	err := a.query(ctx, "progress", rollup.ProgressQuery, rollup.ProgressParameters(a.cfg.Topics, a.cfg.Epoch), func(scan func(...any) error) error {
		return known.Scan(a.cfg.Topics, scan)
	})
	return known, err
}

// idsQuery finds every workspace that a counted record names.
const idsQuery = `
SELECT DISTINCT workspace_id, toDateTime64(0, 3, 'UTC') FROM (
    SELECT DISTINCT workspace_id FROM campaign_activity WHERE workspace_id != '` + schemas.ProbeWorkspace + `'
    UNION ALL
    SELECT DISTINCT workspace_id FROM credit_entries
    UNION ALL
    SELECT DISTINCT workspace_id FROM campaigns
    UNION ALL
    SELECT DISTINCT workspace_id FROM workspaces
)`

// touchedQuery finds the workspaces of which events were counted from an offset
// on, and the earliest of these; which offset is the partition's.
const touchedQuery = `
SELECT workspace_id, min(time) FROM events
WHERE epoch = {epoch:UInt32} AND kpart IN {parts:Array(UInt16)} AND koff >= {least:UInt64}
    AND koff >= transform(kpart, {parts:Array(UInt16)}, {offsets:Array(UInt64)}, toUInt64(0))
    AND workspace_id != '` + schemas.ProbeWorkspace + `'
GROUP BY workspace_id`

// saidQuery finds the workspaces of a partition about which its ledger (or else
// its states) says something from an offset on. What recovery put in counts
// every time, wherever it is.
const saidQuery = `
SELECT workspace_id, ledger FROM (
    SELECT DISTINCT workspace_id, true AS ledger FROM credit_entries
    WHERE repair = 1 OR (epoch = {epoch:UInt32} AND kpart = {part:UInt16} AND koff >= {ledger:UInt64})
    UNION ALL
    SELECT DISTINCT workspace_id, false FROM campaigns
    WHERE repair = 1 OR (epoch = {epoch:UInt32} AND kpart = {part:UInt16} AND koff >= {states:UInt64})
    UNION ALL
    SELECT DISTINCT workspace_id, false FROM workspaces
    WHERE repair = 1 OR (epoch = {epoch:UInt32} AND kpart = {part:UInt16} AND koff >= {states:UInt64})
)`

// entriesQuery reads whole ledgers.
const entriesQuery = "SELECT " + balance.EntryColumns + `, workspace_id
FROM credit_entries WHERE workspace_id IN {workspaces:Array(String)}`

// statesQuery reads everything that was said of campaigns, oldest first.
const statesQuery = `
SELECT workspace_id, campaign_id, time, name, status, quota_micro, starts_at, ends_at, kafka_time
FROM campaigns WHERE workspace_id IN {workspaces:Array(String)}
ORDER BY workspace_id, campaign_id, time, epoch, koff`

// settingsQuery reads what holds of workspaces.
const settingsQuery = `
SELECT workspace_id, argMax(name, (time, epoch, koff)), argMax(time_zone, (time, epoch, koff))
FROM workspaces WHERE workspace_id IN {workspaces:Array(String)}
GROUP BY workspace_id`

// hoursQuery reads gross micro-credits per hour of each campaign in a week, as
// the 168 little-endian doubles that sliceHours says: an array of sums per
// campaign takes a third of the time that groups by hour do, and text instead
// of an array of the driver's, which goes by reflection, half of what is left.
// An hour without use is -0.0, because bytes of 0 at the end of each string are
// lost where strings are joined: 0.0 would be none at all, and what came after
// it an hour early.
const hoursQuery = `
SELECT workspace_id, campaign_id, arrayStringConcat(arrayMap(gross -> reinterpretAsFixedString(if(gross = 0, -0., gross)),
    sumResample(0, 168, 1)(toFloat64(credits_micro + refunds_micro), toUInt16(intDiv(toUnixTimestamp(bucket) - {from:UInt32}, 3600)))))
FROM usage_15m
WHERE workspace_id IN {workspaces:Array(String)} AND bucket >= {from:UInt32} AND bucket < {to:UInt32}
GROUP BY workspace_id, campaign_id`

// usedQuery reads the net usage of each campaign over its life and, with period,
// of each workspace from an instant on: minutes up to a quarter, then quarters.
const usedQuery = `
SELECT workspace_id, campaign_id, period, sum(credits_micro) FROM (
    SELECT workspace_id, campaign_id, false AS period, credits_micro
    FROM usage_1d WHERE workspace_id IN {workspaces:Array(String)}
    UNION ALL
    SELECT workspace_id, '', true, credits_micro
    FROM usage_15m_total WHERE workspace_id IN {workspaces:Array(String)}
        AND toUnixTimestamp(bucket) >= transform(workspace_id, {workspaces:Array(String)}, {quarters:Array(UInt32)}, toUInt32(0))
    UNION ALL
    SELECT workspace_id, '', true, credits_micro
    FROM usage_1m WHERE workspace_id IN {workspaces:Array(String)}
        AND toUnixTimestamp(toStartOfFifteenMinutes(bucket)) IN {partial:Array(UInt32)}
        AND toUnixTimestamp(bucket) >= transform(workspace_id, {workspaces:Array(String)}, {from:Array(UInt32)}, toUInt32(0))
        AND toUnixTimestamp(bucket) < transform(workspace_id, {workspaces:Array(String)}, {quarters:Array(UInt32)}, toUInt32(0))
)
GROUP BY workspace_id, campaign_id, period`

// used is what a campaign, or a workspace, used in an interval.
type used struct{ net, refunds schemas.Total }

func (u used) gross() schemas.Total { return u.net.Add(u.refunds) }

// sums adds up usage between edges, by interval and key.
func (a *Aggregator) sums(ctx context.Context, name string, q rollup.Query, add func(interval int, key string, u used)) error {
	statement, bound := q.Statement()
	if statement == "" {
		return nil
	}
	return a.query(ctx, name, statement, bound, func(scan func(...any) error) error {
		var (
			edge, events int64
			key          string
			other        uint8
			net, refunds big.Int
			u            used
			err          error
		)
		if err := scan(&edge, &key, &other, &net, &refunds, &events); err != nil {
			return err
		}
		if u.net, err = schemas.TotalFromBig(&net); err != nil {
			return err
		}
		if u.refunds, err = schemas.TotalFromBig(&refunds); err != nil {
			return err
		}
		add(q.Interval(schemas.Millis(edge)), key, u)
		return nil
	})
}
