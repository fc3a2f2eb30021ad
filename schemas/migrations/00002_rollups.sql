-- +goose NO TRANSACTION
-- The rollups: usage per workspace, bucket, campaign and action, cascaded
-- events -> 1m -> 15m -> 1d, and from 15m the total of the workspace. They are kept for ever and have no PARTITION BY:
-- ClickHouse 26.7.2 mishandles partitioned targets under view deduplication.
-- Read them with sum(); merges only make them smaller.

-- +goose Up

CREATE TABLE IF NOT EXISTS usage_1m $ON_CLUSTER
(
    workspace_id  String COMMENT 'the tenant' CODEC(ZSTD(1)),
    bucket        DateTime('UTC') COMMENT 'start of the minute' CODEC(Delta, ZSTD(1)),
    campaign_id   String COMMENT 'empty: unattributed' CODEC(ZSTD(1)),
    action        LowCardinality(String) COMMENT 'what the credits bought' CODEC(ZSTD(1)),
    -- 128 bits: nothing bounds how many events one bucket gets.
    credits_micro Int128 COMMENT 'net micro-credits' CODEC(ZSTD(1)),
    refunds_micro Int128 COMMENT 'micro-credits given back, positive' CODEC(ZSTD(1)),
    events        Int64 COMMENT 'consumption events; signed for repairs' CODEC(ZSTD(1))
)
ENGINE = $REPLICATEDSummingMergeTree((credits_micro, refunds_micro, events))
-- A range of one workspace is one contiguous read, whatever it is grouped by.
ORDER BY (workspace_id, bucket, campaign_id, action)
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS usage_15m $ON_CLUSTER
(
    workspace_id  String COMMENT 'the tenant' CODEC(ZSTD(1)),
    bucket        DateTime('UTC') COMMENT 'start of the quarter of an hour' CODEC(Delta, ZSTD(1)),
    campaign_id   String COMMENT 'empty: unattributed' CODEC(ZSTD(1)),
    action        LowCardinality(String) COMMENT 'what the credits bought' CODEC(ZSTD(1)),
    credits_micro Int128 COMMENT 'net micro-credits' CODEC(ZSTD(1)),
    refunds_micro Int128 COMMENT 'micro-credits given back, positive' CODEC(ZSTD(1)),
    events        Int64 COMMENT 'consumption events; signed for repairs' CODEC(ZSTD(1))
)
ENGINE = $REPLICATEDSummingMergeTree((credits_micro, refunds_micro, events))
-- Every zone's offset is a multiple of 15 minutes, so any local day is made of these.
ORDER BY (workspace_id, bucket, campaign_id, action)
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS usage_1d $ON_CLUSTER
(
    workspace_id  String COMMENT 'the tenant' CODEC(ZSTD(1)),
    bucket        DateTime('UTC') COMMENT 'start of the UTC day' CODEC(Delta, ZSTD(1)),
    campaign_id   String COMMENT 'empty: unattributed' CODEC(ZSTD(1)),
    action        LowCardinality(String) COMMENT 'what the credits bought' CODEC(ZSTD(1)),
    credits_micro Int128 COMMENT 'net micro-credits' CODEC(ZSTD(1)),
    refunds_micro Int128 COMMENT 'micro-credits given back, positive' CODEC(ZSTD(1)),
    events        Int64 COMMENT 'consumption events; signed for repairs' CODEC(ZSTD(1))
)
ENGINE = $REPLICATEDSummingMergeTree((credits_micro, refunds_micro, events))
-- A whole life of a campaign or a year of a workspace in a few granules.
ORDER BY (workspace_id, bucket, campaign_id, action)
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;

-- What a whole workspace used, per quarter of an hour: a balance, whose cuts may
-- be years apart, reads 96 rows a day from it instead of one per campaign and
-- action.
CREATE TABLE IF NOT EXISTS usage_15m_total $ON_CLUSTER
(
    workspace_id  String COMMENT 'the tenant' CODEC(ZSTD(1)),
    bucket        DateTime('UTC') COMMENT 'start of the quarter of an hour' CODEC(Delta, ZSTD(1)),
    credits_micro Int128 COMMENT 'net micro-credits' CODEC(ZSTD(1)),
    refunds_micro Int128 COMMENT 'micro-credits given back, positive' CODEC(ZSTD(1)),
    events        Int64 COMMENT 'consumption events; signed for repairs' CODEC(ZSTD(1))
)
ENGINE = $REPLICATEDSummingMergeTree((credits_micro, refunds_micro, events))
-- A range of one workspace is one contiguous read.
ORDER BY (workspace_id, bucket)
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Rows that recovery or the audit puts into events carry repair = 1 and are
-- mended in the rollups by comparison instead (invariant 3).
CREATE MATERIALIZED VIEW IF NOT EXISTS usage_1m_view $ON_CLUSTER TO usage_1m AS
SELECT
    workspace_id,
    toStartOfMinute(toDateTime(time, 'UTC')) AS bucket,
    campaign_id,
    action,
    sum(toInt128(credits_micro)) AS credits_micro,
    sum(toInt128(if(events.credits_micro < 0, -events.credits_micro, 0))) AS refunds_micro,
    toInt64(count()) AS events
FROM events
WHERE repair = 0
GROUP BY workspace_id, bucket, campaign_id, action;

CREATE MATERIALIZED VIEW IF NOT EXISTS usage_15m_view $ON_CLUSTER TO usage_15m AS
SELECT
    workspace_id,
    toStartOfFifteenMinutes(usage_1m.bucket) AS bucket,
    campaign_id,
    action,
    sum(usage_1m.credits_micro) AS credits_micro,
    sum(usage_1m.refunds_micro) AS refunds_micro,
    sum(usage_1m.events) AS events
FROM usage_1m
GROUP BY workspace_id, bucket, campaign_id, action;

CREATE MATERIALIZED VIEW IF NOT EXISTS usage_15m_total_view $ON_CLUSTER TO usage_15m_total AS
SELECT
    workspace_id,
    usage_15m.bucket AS bucket,
    sum(usage_15m.credits_micro) AS credits_micro,
    sum(usage_15m.refunds_micro) AS refunds_micro,
    sum(usage_15m.events) AS events
FROM usage_15m
GROUP BY workspace_id, bucket;

CREATE MATERIALIZED VIEW IF NOT EXISTS usage_1d_view $ON_CLUSTER TO usage_1d AS
SELECT
    workspace_id,
    toDateTime(toStartOfDay(usage_15m.bucket, 'UTC'), 'UTC') AS bucket,
    campaign_id,
    action,
    sum(usage_15m.credits_micro) AS credits_micro,
    sum(usage_15m.refunds_micro) AS refunds_micro,
    sum(usage_15m.events) AS events
FROM usage_15m
GROUP BY workspace_id, bucket, campaign_id, action;
