-- +goose NO TRANSACTION
-- What is to be watched, and who was told. The query API writes rules and
-- acknowledgements, the aggregator deliveries, row by row, and waits for each;
-- all are append-only.

-- +goose Up

-- Alert rules, a row per write; the highest version holds. Two servers that
-- write at once write the same version under the same token,
-- workspace_id/rule_id/version: the first stands, and each reads back whose it
-- was.
CREATE TABLE IF NOT EXISTS alert_rules $ON_CLUSTER
(
    workspace_id      String COMMENT 'the tenant',
    rule_id           String COMMENT 'unique in its workspace',
    version           UInt32 COMMENT 'rises with every write, from 1',
    revision          UInt32 COMMENT 'rises when what is evaluated changes, from 1',
    kind              LowCardinality(String) COMMENT 'what is watched, such as balance_below',
    name              String COMMENT 'for people',
    enabled           UInt8 COMMENT '0: not evaluated',
    deleted           UInt8 COMMENT '1: gone, kept for its incidents',
    params            String COMMENT 'thresholds by kind, a JSON object',
    webhooks          String COMMENT 'who is told: a JSON array of {url, format}',
    secret_version    UInt32 COMMENT 'names the secret that signs deliveries, which is derived and nowhere stored',
    secret_rotated_at Nullable(DateTime64(3, 'UTC')) COMMENT 'for a day from here the secret before it signs too; null: never rotated',
    silenced_until    Nullable(DateTime64(3, 'UTC')) COMMENT 'webhooks are not told before; null: they are',
    updated_at        DateTime64(3, 'UTC') COMMENT 'when it was written',
    updated_by        String COMMENT 'subject of who wrote it'
)
ENGINE = $REPLICATEDMergeTree
-- All rules of a workspace are read at a time, and one with its past.
ORDER BY (workspace_id, rule_id, version)
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;

ALTER TABLE alert_incidents $ON_CLUSTER
    ADD COLUMN IF NOT EXISTS subject String COMMENT 'the campaign it is about; empty: the workspace' AFTER kind,
    ADD COLUMN IF NOT EXISTS sequence UInt32 COMMENT 'counts the incidents of the revision and subject, from 1' AFTER subject;

-- Who has seen an incident.
CREATE TABLE IF NOT EXISTS alert_acknowledgements $ON_CLUSTER
(
    workspace_id String COMMENT 'the tenant',
    incident_id  String COMMENT 'the incident',
    at           DateTime64(3, 'UTC') COMMENT 'when',
    by           String COMMENT 'subject of who acknowledged',
    note         String COMMENT 'for people'
)
ENGINE = $REPLICATEDMergeTree
-- Read for the incidents of a page.
ORDER BY (workspace_id, incident_id, at)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Every attempt to tell somebody. A message is settled when it has a row with
-- an outcome other than retrying; a row is written under a token of its own, so
-- that a repeated INSERT is none.
CREATE TABLE IF NOT EXISTS alert_deliveries $ON_CLUSTER
(
    workspace_id    String COMMENT 'the tenant',
    webhook_id      String COMMENT 'incident_id/state, the same however often it is sent',
    incident_id     String COMMENT 'the incident',
    state           LowCardinality(String) COMMENT 'firing or resolved',
    rule_id         String COMMENT 'the rule',
    rule_version    UInt32 COMMENT 'version of the rule that named the destination; 0: none did',
    destination     String COMMENT 'URL, or name of the topic',
    format          LowCardinality(String) COMMENT 'standard, slack or topic',
    attempt         UInt16 COMMENT 'from 1; 0: settled without sending anything',
    at              DateTime64(3, 'UTC') COMMENT 'when it ended',
    outcome         LowCardinality(String) COMMENT 'delivered, retrying, failed (a day of retrying is over), refused (the address is not allowed), disabled (the receiver or the owner of the rule wants no more) or silenced',
    status          UInt16 COMMENT 'HTTP status; 0: there was none',
    error           String COMMENT 'why not; empty: delivered',
    next_attempt_at Nullable(DateTime64(3, 'UTC')) COMMENT 'retrying: when',
    took_ms         UInt32 COMMENT 'from connecting to the end of the answer'
)
ENGINE = $REPLICATEDMergeTree
-- Whole months age out together.
PARTITION BY toYYYYMM(at)
-- The outbox and the page read a workspace's last day backwards.
ORDER BY (workspace_id, at, webhook_id, destination)
-- Long enough to look into a complaint; the incidents themselves stay.
TTL toDateTime(at) + INTERVAL 90 DAY
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
