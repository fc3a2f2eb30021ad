-- +goose NO TRANSACTION
-- Who may do what, and who did. The query API writes these tables, row by row,
-- and waits for each; they are append-only.

-- +goose Up

-- API keys: a row when one is made and one when it is revoked, which says the
-- same and when. The key itself is nowhere.
CREATE TABLE IF NOT EXISTS api_keys $ON_CLUSTER
(
    key_hash     FixedString(32) COMMENT 'SHA-256 of the key',
    key_id       String COMMENT 'by which the key is listed and revoked',
    workspace_id String COMMENT 'the tenant',
    name         String COMMENT 'for people',
    scopes       Array(String) COMMENT 'what it may do in the workspace',
    created_by   String COMMENT 'subject of who made it',
    created_at   DateTime64(3, 'UTC') COMMENT 'when it was made',
    expires_at   Nullable(DateTime64(3, 'UTC')) COMMENT 'null: never',
    revoked_at   Nullable(DateTime64(3, 'UTC')) COMMENT 'null: this row is of its making'
)
ENGINE = $REPLICATEDMergeTree
-- A request comes with a key and knows nothing else. Lists of a workspace read
-- it all: an installation has thousands of keys, not millions.
ORDER BY (key_hash, created_at)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- When keys were used last, at most a row a minute and key from each server.
CREATE TABLE IF NOT EXISTS api_key_uses $ON_CLUSTER
(
    key_id  String COMMENT 'the key',
    used_at DateTime64(3, 'UTC') COMMENT 'when it was used'
)
ENGINE = $REPLICATEDReplacingMergeTree(used_at)
-- The newest of each key is all that is asked for.
ORDER BY key_id;

-- Every change of money or access that was asked of the query API.
CREATE TABLE IF NOT EXISTS audit_log $ON_CLUSTER
(
    workspace_id String COMMENT 'the tenant; empty: of none',
    at           DateTime64(3, 'UTC') COMMENT 'when',
    request_id   String COMMENT 'names the request in the log of the server',
    action       LowCardinality(String) COMMENT 'what, such as key.create',
    subject      String COMMENT 'who',
    credential   LowCardinality(String) COMMENT 'by which proof: token, api_key, jwt or session',
    key_id       String COMMENT 'the API key, if it was one',
    detail       String COMMENT 'the rest, a JSON object'
)
ENGINE = $REPLICATEDMergeTree
-- Read by workspace, the newest first.
ORDER BY (workspace_id, at, request_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
