-- +goose NO TRANSACTION
-- Who sends which rejected record again, and as what: runs of `drawdown
-- rejections replay` at the same time, with different edits, must not send one
-- record as two events. A run takes a turn for the records that it is about to
-- send: one INSERT under a token that names the turn, so of two that take the
-- same turn one is there and the other sees it, decides again, and sends what
-- was decided before it.

-- +goose Up

CREATE TABLE IF NOT EXISTS replay_turns $ON_CLUSTER
(
    turn          UInt64 COMMENT 'counts the decisions; each was made knowing all before it',
    run           String COMMENT 'the run that took it',
    at            DateTime64(3, 'UTC') COMMENT 'when',
    topic         LowCardinality(String) COMMENT 'topic of the rejected record',
    epoch         UInt32 COMMENT 'generation of that topic',
    kpart         UInt16 COMMENT 'its partition',
    koff          UInt64 COMMENT 'its offset',
    root          String COMMENT 'place of the first rejection of a chain of them, topic/epoch/partition/offset',
    workspace_id  String COMMENT 'of the event as sent; empty: it cannot be counted',
    event_time    DateTime64(3, 'UTC') COMMENT 'of the event as sent',
    role          LowCardinality(String) COMMENT 'topic that it goes to, by its default name',
    key           String COMMENT 'key of the record as sent',
    event_id      String COMMENT 'id under which it is sent',
    value         String COMMENT 'value as sent' CODEC(ZSTD(3)),
    headers       Array(Tuple(String, String)) COMMENT 'headers as sent'
)
ENGINE = $REPLICATEDMergeTree
-- No PARTITION BY: a token holds within one partition.
-- All that became of one rejection stands together.
ORDER BY (topic, epoch, kpart, koff, turn)
-- As long as the rejection itself, which is older.
TTL toDateTime(at) + INTERVAL 90 DAY
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;

ALTER TABLE rejection_replays $ON_CLUSTER ADD COLUMN IF NOT EXISTS turn UInt64 COMMENT 'that it was sent by; 0: before there were turns';
