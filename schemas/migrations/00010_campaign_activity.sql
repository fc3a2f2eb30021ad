-- +goose NO TRANSACTION
-- When each campaign was used last. A list of hundreds of campaigns reads it
-- whole, instead of looking for the last event of each among raw events.

-- +goose Up

CREATE TABLE IF NOT EXISTS campaign_activity $ON_CLUSTER
(
    workspace_id  String COMMENT 'the tenant' CODEC(ZSTD(1)),
    campaign_id   String COMMENT 'empty: unattributed' CODEC(ZSTD(1)),
    last_event_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'time of the latest event'
)
ENGINE = $REPLICATEDAggregatingMergeTree
-- One row per campaign after merges; a workspace's are one read.
ORDER BY (workspace_id, campaign_id);

-- Not part of the proof: the latest holds however often it is said, and rows
-- that recovery puts in say it, too.
CREATE MATERIALIZED VIEW IF NOT EXISTS campaign_activity_view $ON_CLUSTER TO campaign_activity AS
SELECT
    workspace_id,
    campaign_id,
    max(time) AS last_event_at
FROM events
GROUP BY workspace_id, campaign_id;

-- What was there before the view was.
INSERT INTO campaign_activity
SELECT
    workspace_id,
    campaign_id,
    max(time) AS last_event_at
FROM events
GROUP BY workspace_id, campaign_id;
