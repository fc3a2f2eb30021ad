-- +goose NO TRANSACTION
-- The views of 00003 and 00004 without the reserved workspace, whose events only
-- measure how long an event takes to become an answer: who adds up everything
-- that analysts see gets what customers did. Nobody grants it credits.

-- +goose Up

CREATE OR REPLACE VIEW v_events $ON_CLUSTER
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
WHERE workspace_id != 'drawdown.probe'
COMMENT 'Every consumption event that was counted, once, as far back as raw events are kept';

CREATE OR REPLACE VIEW v_usage $ON_CLUSTER
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
WHERE workspace_id != 'drawdown.probe'
GROUP BY workspace_id, bucket, campaign_id, action
COMMENT 'Credits used per workspace, quarter of an hour, campaign and action, kept for ever';

CREATE OR REPLACE VIEW v_history $ON_CLUSTER
(
    workspace_id String COMMENT 'the tenant',
    at           DateTime64(3, 'UTC') COMMENT 'when it took effect: effective_at of a grant, the time of an adjustment or void, the start of the UTC day of consumption',
    type         LowCardinality(String) COMMENT 'grant, adjustment, void or consumption; expiries are known to the API alone',
    entry_id     String COMMENT 'the id that the API shows; for consumption that of the UTC day and campaign',
    credits      Decimal(38, 6) COMMENT 'credits granted, adjusted (signed) or used (refunds taken off); 0 for a void, which takes what was left',
    refunds      Decimal(38, 6) COMMENT 'consumption: credits given back, positive; else 0',
    events       Int64 COMMENT 'consumption: number of events; else 1',
    campaign_id  String COMMENT 'consumption: the campaign, empty is unattributed; else empty',
    grant_id     String COMMENT 'the grant granted, adjusted or voided; else empty',
    event_id     String COMMENT 'the event of a grant, adjustment or void; else empty',
    actor        String COMMENT 'who granted, adjusted or voided; else empty',
    note         String COMMENT 'note of a grant, reason of an adjustment or void; else empty',
    arrived_at   Nullable(DateTime64(3, 'UTC')) COMMENT 'when Kafka got the event of a grant, adjustment or void; else null'
)
AS
SELECT
    workspace_id,
    ifNull(effective_at, time) AS at,
    transform(e.type, ['credits.granted', 'credits.adjusted', 'credits.grant_voided'], ['grant', 'adjustment', 'void'], e.type) AS type,
    concat(transform(e.type, ['credits.granted', 'credits.adjusted', 'credits.grant_voided'], ['grant', 'adjustment', 'void'], e.type), ':', event_id) AS entry_id,
    toDecimal128(credits_micro, 6) / 1000000 AS credits,
    toDecimal128(0, 6) AS refunds,
    toInt64(1) AS events,
    '' AS campaign_id,
    grant_id,
    event_id,
    actor,
    note,
    toNullable(kafka_time) AS arrived_at
FROM credit_entries AS e
UNION ALL
SELECT
    workspace_id,
    toDateTime64(bucket, 3, 'UTC') AS at,
    'consumption' AS type,
    concat('usage:', formatDateTime(bucket, '%Y-%m-%dT%H:%i:%SZ', 'UTC'), ':', campaign_id) AS entry_id,
    toDecimal128(sum(credits_micro), 6) / 1000000 AS credits,
    toDecimal128(sum(refunds_micro), 6) / 1000000 AS refunds,
    sum(usage_1d.events) AS events,
    campaign_id,
    '' AS grant_id,
    '' AS event_id,
    '' AS actor,
    '' AS note,
    NULL AS arrived_at
FROM usage_1d
WHERE workspace_id != 'drawdown.probe'
GROUP BY workspace_id, bucket, campaign_id
COMMENT 'Grants, adjustments, voids, and credits used per UTC day and campaign: all that was said about credits, kept for ever';
