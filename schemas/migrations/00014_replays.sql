-- +goose NO TRANSACTION
-- What `drawdown rejections replay` sends again. A row 'sending' with the very
-- record stands here before Kafka gets it, so that a replay that was killed goes
-- on with the same bytes, whatever an edit would make of it now; 'sent' follows
-- the acknowledgement.

-- +goose Up

CREATE TABLE IF NOT EXISTS rejection_replays $ON_CLUSTER
(
    topic        LowCardinality(String) COMMENT 'topic of the rejected record',
    epoch        UInt32 COMMENT 'generation of that topic',
    kpart        UInt16 COMMENT 'its partition',
    koff         UInt64 COMMENT 'its offset',
    at           DateTime64(3, 'UTC') COMMENT 'when this was written',
    state        LowCardinality(String) COMMENT 'sending or sent',
    role         LowCardinality(String) COMMENT 'topic that it goes to, by its default name',
    key          String COMMENT 'key of the record as sent',
    event_id     String COMMENT 'id under which it is sent; empty if there is none to read',
    value        String COMMENT 'value as sent; empty once it is sent' CODEC(ZSTD(3)),
    headers      Array(Tuple(String, String)) COMMENT 'headers as sent; empty once it is sent'
)
ENGINE = $REPLICATEDMergeTree
-- Few rows; they age out together.
PARTITION BY toYYYYMM(at)
-- All that became of one rejection stands together.
ORDER BY (topic, epoch, kpart, koff, at)
-- As long as the rejection itself, which is older.
TTL toDateTime(at) + INTERVAL 90 DAY
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
