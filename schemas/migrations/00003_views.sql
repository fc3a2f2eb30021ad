-- +goose NO TRANSACTION
-- What analysts read: plain units, one row per thing, nothing to sum up first.
-- The views run with the rights of whoever reads them, so that the row filters
-- of the tables hold.

-- +goose Up

CREATE VIEW IF NOT EXISTS v_events $ON_CLUSTER
(
    workspace_id String COMMENT 'the tenant',
    time         DateTime64(3, 'UTC') COMMENT 'when the credits were used',
    event_id     String COMMENT 'unique in its workspace',
    campaign_id  String COMMENT 'empty: unattributed',
    action       LowCardinality(String) COMMENT 'what the credits bought',
    actor        String COMMENT 'who used them',
    source       LowCardinality(String) COMMENT 'the producer, as CloudEvents source',
    credits      Decimal(38, 6) COMMENT 'credits used; negative is a refund',
    attributes   Map(String, String) COMMENT 'free annotations of the producer',
    arrived_at   DateTime64(3, 'UTC') COMMENT 'when Kafka got the event'
)
AS
SELECT
    workspace_id,
    time,
    event_id,
    campaign_id,
    action,
    actor,
    source,
    toDecimal128(credits_micro, 6) / 1000000 AS credits,
    attributes,
    kafka_time AS arrived_at
FROM events
COMMENT 'Every consumption event that was counted, once, as far back as raw events are kept';

-- A quarter of an hour because every zone's days and hours are made of these.
CREATE VIEW IF NOT EXISTS v_usage $ON_CLUSTER
(
    workspace_id String COMMENT 'the tenant',
    bucket       DateTime('UTC') COMMENT 'start of the quarter of an hour in which the credits were used',
    campaign_id  String COMMENT 'empty: unattributed',
    action       LowCardinality(String) COMMENT 'what the credits bought',
    credits      Decimal(38, 6) COMMENT 'credits used, refunds taken off',
    refunds      Decimal(38, 6) COMMENT 'credits given back, positive',
    events       Int64 COMMENT 'consumption events'
)
AS
SELECT
    workspace_id,
    bucket,
    campaign_id,
    action,
    toDecimal128(sum(credits_micro), 6) / 1000000 AS credits,
    toDecimal128(sum(refunds_micro), 6) / 1000000 AS refunds,
    sum(usage_15m.events) AS events
FROM usage_15m
GROUP BY workspace_id, bucket, campaign_id, action
COMMENT 'Credits used per workspace, quarter of an hour, campaign and action, kept for ever';
