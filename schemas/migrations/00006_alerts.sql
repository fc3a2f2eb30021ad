-- +goose NO TRANSACTION
-- Alert incidents: what happened to each, one row per change of state, never
-- changed. The aggregator writes them; streams of live updates and lists of
-- incidents read them.

-- +goose Up

CREATE TABLE IF NOT EXISTS alert_incidents $ON_CLUSTER
(
    workspace_id  String COMMENT 'the tenant',
    -- The clock of the server, left out of every INSERT: whoever tails this
    -- table asks for what was recorded since a while ago by the same clock, so
    -- no other clock can hide a row. No rule is evaluated by it.
    recorded_at   DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when the row came',
    incident_id   String COMMENT 'hash of rule, revision and the instant at which it was crossed',
    state         LowCardinality(String) COMMENT 'pending, firing or resolved',
    rule_id       String COMMENT 'the rule',
    rule_revision UInt32 COMMENT 'its revision when it was evaluated',
    kind          LowCardinality(String) COMMENT 'kind of the rule, such as balance_below',
    at            DateTime64(3, 'UTC') COMMENT 'when the state was reached, by the watermark',
    message       String COMMENT 'for people',
    detail        String COMMENT 'the figures behind it, a JSON object'
)
ENGINE = $REPLICATEDMergeTree
-- A tail reads the end of each of some workspaces; a list reads one backwards.
ORDER BY (workspace_id, recorded_at, incident_id, state)
-- There is one row per incident and state: the writer inserts each as a block
-- of its own under the token incident_id/state, so that a retry is none, and
-- reads what stands before it evaluates anew.
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
