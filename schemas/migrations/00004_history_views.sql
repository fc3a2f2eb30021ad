-- +goose NO TRANSACTION
-- The ledger for analysts. What a grant still holds, what expired of it and the
-- balance depend on the order in which usage drains grants, which only the
-- burn-down knows (aggregator/balance): ask the API's /balance and /history for
-- these. The views run with the rights of whoever reads them.

-- +goose Up

CREATE VIEW IF NOT EXISTS v_history $ON_CLUSTER
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
GROUP BY workspace_id, bucket, campaign_id
COMMENT 'Grants, adjustments, voids, and credits used per UTC day and campaign: all that was said about credits, kept for ever';

-- One group per grant, so that a filter by workspace reaches the primary key.
CREATE VIEW IF NOT EXISTS v_grants $ON_CLUSTER
(
    workspace_id String COMMENT 'the tenant',
    grant_id     String COMMENT 'unique in its workspace',
    class        LowCardinality(String) COMMENT 'paid or promo',
    priority     UInt16 COMMENT 'lower is drained first',
    credits      Decimal(38, 6) COMMENT 'credits as granted',
    adjusted     Decimal(38, 6) COMMENT 'sum of the adjustments that name the grant, signed, whether or not the grant could bear them',
    granted_at   DateTime64(3, 'UTC') COMMENT 'when it was issued',
    effective_at DateTime64(3, 'UTC') COMMENT 'when it counts from',
    expires_at   Nullable(DateTime64(3, 'UTC')) COMMENT 'null: never',
    voided_at    Nullable(DateTime64(3, 'UTC')) COMMENT 'when it was voided; at or before effective_at the grant never counted; null: it was not, or only after it had expired',
    void_reason  String COMMENT 'reason of the void; empty: none',
    note         String COMMENT 'note of the grant',
    actor        String COMMENT 'who granted it',
    event_id     String COMMENT 'the event that granted it',
    arrived_at   DateTime64(3, 'UTC') COMMENT 'when Kafka got it'
)
AS
SELECT
    workspace_id,
    grant_id,
    argMinIf(e.class, (epoch, koff), is_grant) AS class,
    argMinIf(e.priority, (epoch, koff), is_grant) AS priority,
    toDecimal128(argMinIf(credits_micro, (epoch, koff), is_grant), 6) / 1000000 AS credits,
    toDecimal128(sumIf(toInt128(credits_micro), type = 'credits.adjusted'), 6) / 1000000 AS adjusted,
    argMinIf(time, (epoch, koff), is_grant) AS granted_at,
    argMinIf(assumeNotNull(e.effective_at), (epoch, koff), is_grant) AS effective_at,
    argMinIf(tuple(e.expires_at), (epoch, koff), is_grant).1 AS expires_at,
    if(countIf(is_void) > 0 AND (isNull(expires_at) OR minIf(time, is_void) < expires_at), minIf(time, is_void), NULL) AS voided_at,
    if(isNull(voided_at), '', argMinIf(e.note, (time, epoch, koff), is_void)) AS void_reason,
    argMinIf(e.note, (epoch, koff), is_grant) AS note,
    argMinIf(e.actor, (epoch, koff), is_grant) AS actor,
    argMinIf(e.event_id, (epoch, koff), is_grant) AS event_id,
    argMinIf(kafka_time, (epoch, koff), is_grant) AS arrived_at
FROM (SELECT *, type = 'credits.granted' AS is_grant, type = 'credits.grant_voided' AS is_void FROM credit_entries WHERE grant_id != '') AS e
GROUP BY workspace_id, grant_id
HAVING countIf(is_grant) > 0
COMMENT 'Every grant as granted, adjusted and voided; what it still holds is in the API''s /balance';
