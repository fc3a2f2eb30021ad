-- +goose NO TRANSACTION
-- What the consumers write. Every table is append-only and deduplicates whole
-- INSERTs by their token (invariant 1): 50,000 blocks are more than a day of
-- batches, many times the longest recovery. fsync makes an acknowledged part
-- survive a power cut on a single node.

-- +goose Up

-- Raw consumption.
CREATE TABLE IF NOT EXISTS events $ON_CLUSTER
(
    workspace_id  String COMMENT 'the tenant' CODEC(ZSTD(1)),
    time          DateTime64(3, 'UTC') COMMENT 'when the credits were used' CODEC(Delta, ZSTD(1)),
    event_id      String COMMENT 'unique in its workspace' CODEC(ZSTD(1)),
    campaign_id   String COMMENT 'empty: unattributed' CODEC(ZSTD(1)),
    action        LowCardinality(String) COMMENT 'what the credits bought' CODEC(ZSTD(1)),
    actor         String COMMENT 'who used them' CODEC(ZSTD(1)),
    source        LowCardinality(String) COMMENT 'CloudEvents source' CODEC(ZSTD(1)),
    credits_micro Int64 COMMENT 'micro-credits; negative is a refund' CODEC(T64, ZSTD(1)),
    attributes    Map(String, String) COMMENT 'free annotations' CODEC(ZSTD(1)),
    content_hash  UInt32 COMMENT 'hash of (time, campaign, credits, action, actor)' CODEC(NONE),
    kafka_time    DateTime64(3, 'UTC') COMMENT 'timestamp of the record' CODEC(Delta, ZSTD(1)),
    epoch         UInt32 COMMENT 'generation of the topic' CODEC(ZSTD(1)),
    kpart         UInt16 COMMENT 'partition' CODEC(ZSTD(1)),
    koff          UInt64 COMMENT 'offset' CODEC(Delta, ZSTD(1)),
    repair        UInt8 COMMENT '1: put in by recovery or audit; the views skip it' CODEC(ZSTD(1)),
    -- The clock of the server, because a record that a mirror brought may be
    -- older than the TTL: its row would be expired on arrival, counted in the
    -- rollups and forgotten by the filter. No figure and no comparison uses it.
    inserted_at   DateTime DEFAULT now() COMMENT 'when the row came, by which it ages out' CODEC(Delta, ZSTD(1)),
    INDEX koff_range koff TYPE minmax GRANULARITY 1
)
ENGINE = $REPLICATEDMergeTree
-- Months are dropped whole when they age out, and few enough for a batch that
-- carries late events to stay a handful of parts.
PARTITION BY toYYYYMM(time)
-- A workspace's newest events and a partial minute are a few granules away;
-- identity (invariant 5) is a primary key lookup.
ORDER BY (workspace_id, time, event_id)
-- Merging ten parts at a time instead of five halves what merges cost, which
-- under load is as much as the inserts themselves; reads touch few granules of
-- each part and hardly notice.
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1, merge_selector_base = 10;

-- Ledger entries that came as events: grants, adjustments, voids.
CREATE TABLE IF NOT EXISTS credit_entries $ON_CLUSTER
(
    workspace_id  String COMMENT 'the tenant',
    time          DateTime64(3, 'UTC') COMMENT 'when it holds from, whole minutes',
    event_id      String COMMENT 'unique in its workspace',
    type          LowCardinality(String) COMMENT 'credits.granted, credits.adjusted or credits.grant_voided',
    grant_id      String COMMENT 'the grant granted, adjusted or voided; empty: none',
    credits_micro Int64 COMMENT 'micro-credits; 0 for a void',
    class         LowCardinality(String) COMMENT 'paid or promo; empty unless a grant',
    priority      UInt16 COMMENT 'lower is drained first',
    effective_at  Nullable(DateTime64(3, 'UTC')) COMMENT 'grants only',
    expires_at    Nullable(DateTime64(3, 'UTC')) COMMENT 'grants only; null: never',
    note          String COMMENT 'note of a grant, reason of an adjustment or void',
    actor         String COMMENT 'who did it',
    source        String COMMENT 'CloudEvents source',
    content_hash  UInt32 COMMENT 'hash of everything the event says',
    kafka_time    DateTime64(3, 'UTC') COMMENT 'timestamp of the record',
    epoch         UInt32 COMMENT 'generation of the topic',
    kpart         UInt16 COMMENT 'partition',
    koff          UInt64 COMMENT 'offset',
    repair        UInt8 COMMENT '1: put in by recovery or audit'
)
ENGINE = $REPLICATEDMergeTree
-- A balance reads one workspace's whole ledger.
ORDER BY (workspace_id, time, event_id)
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Campaign states; the latest by (time, epoch, koff) holds, the others are its history.
CREATE TABLE IF NOT EXISTS campaigns $ON_CLUSTER
(
    workspace_id  String COMMENT 'the tenant',
    campaign_id   String COMMENT 'the campaign',
    time          DateTime64(3, 'UTC') COMMENT 'when the state holds from',
    event_id      String COMMENT 'unique in its workspace',
    name          String COMMENT 'for people',
    status        LowCardinality(String) COMMENT 'ACTIVE, PAUSED, COMPLETED or DRAFT',
    quota_micro   Nullable(Int64) COMMENT 'micro-credits over the whole life; null: none',
    starts_at     Nullable(DateTime64(3, 'UTC')),
    ends_at       Nullable(DateTime64(3, 'UTC')),
    source        String COMMENT 'CloudEvents source',
    content_hash  UInt32 COMMENT 'hash of everything the event says',
    kafka_time    DateTime64(3, 'UTC') COMMENT 'timestamp of the record',
    epoch         UInt32 COMMENT 'generation of the topic',
    kpart         UInt16 COMMENT 'partition',
    koff          UInt64 COMMENT 'offset',
    repair        UInt8 COMMENT '1: put in by recovery or audit'
)
ENGINE = $REPLICATEDMergeTree
-- A page lists one workspace's campaigns, a campaign's page its changes.
ORDER BY (workspace_id, campaign_id, time, koff)
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Workspace settings; the latest by (time, epoch, koff) holds.
CREATE TABLE IF NOT EXISTS workspaces $ON_CLUSTER
(
    workspace_id  String COMMENT 'the tenant',
    time          DateTime64(3, 'UTC') COMMENT 'when the state holds from',
    event_id      String COMMENT 'unique in its workspace',
    name          String COMMENT 'for people',
    time_zone     String COMMENT 'IANA zone; empty: UTC',
    week_start    LowCardinality(String) COMMENT 'first day of the week; empty: monday',
    source        String COMMENT 'CloudEvents source',
    content_hash  UInt32 COMMENT 'hash of everything the event says',
    kafka_time    DateTime64(3, 'UTC') COMMENT 'timestamp of the record',
    epoch         UInt32 COMMENT 'generation of the topic',
    kpart         UInt16 COMMENT 'partition',
    koff          UInt64 COMMENT 'offset',
    repair        UInt8 COMMENT '1: put in by recovery or audit'
)
ENGINE = $REPLICATEDMergeTree
-- One workspace's settings at a time.
ORDER BY (workspace_id, time, koff)
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;

-- Records that were not counted.
CREATE TABLE IF NOT EXISTS rejections $ON_CLUSTER
(
    topic        LowCardinality(String) COMMENT 'where it was read',
    epoch        UInt32 COMMENT 'generation of the topic',
    kpart        UInt16 COMMENT 'partition',
    koff         UInt64 COMMENT 'offset',
    kafka_time   DateTime64(3, 'UTC') COMMENT 'timestamp of the record',
    workspace_id String COMMENT 'empty where it cannot be read',
    code         LowCardinality(String) COMMENT 'stable reason',
    message      String COMMENT 'what, where, what to do',
    key          String COMMENT 'key of the record, first 1 KiB',
    value        String COMMENT 'value of the record, first 64 KiB' CODEC(ZSTD(3)),
    value_bytes  UInt64 COMMENT 'size of the whole value',
    headers      Array(Tuple(String, String)) COMMENT 'headers of the record',
    -- The clock of the server, because a record's own timestamp may be
    -- decades old and its row would be expired on arrival. No figure and no
    -- comparison uses it.
    inserted_at  DateTime DEFAULT now() COMMENT 'for the TTL alone'
)
ENGINE = $REPLICATEDMergeTree
-- Whole months age out together; bytes of producers are not kept longer than needed.
PARTITION BY toYYYYMM(inserted_at)
-- A workspace sees its own; an operator reads a partition in order.
ORDER BY (workspace_id, topic, epoch, kpart, koff)
TTL inserted_at + INTERVAL 90 DAY
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;

-- The ledger of batches (invariant 9).
CREATE TABLE IF NOT EXISTS ingest_batches $ON_CLUSTER
(
    topic         LowCardinality(String) COMMENT 'topic of the range',
    epoch         UInt32 COMMENT 'generation of the topic',
    kpart         UInt16 COMMENT 'partition',
    first         UInt64 COMMENT 'first offset of the range',
    last          UInt64 COMMENT 'last offset of the range, inclusive',
    records       UInt64 COMMENT 'last - first + 1 = inserted + duplicates + rejected + rerouted + skipped',
    inserted      UInt64 COMMENT 'rows counted',
    duplicates    UInt64 COMMENT 'events that an earlier record had counted',
    rejected      UInt64 COMMENT 'rows in rejections',
    rerouted      UInt64 COMMENT 'records sent to the right partition',
    skipped       UInt64 COMMENT 'offsets without a data record: control records, aborted transactions, gaps',
    credits_micro Int128 COMMENT 'sum over the inserted rows',
    last_koff     Int64 COMMENT 'offset of the last data record; -1: none in the range',
    last_time     DateTime64(3, 'UTC') COMMENT 'timestamp of that record',
    last_crc      UInt32 COMMENT 'CRC-32C over its key, value and timestamp',
    format        UInt16 COMMENT 'format of the batch',
    rules         String COMMENT 'hash of decoder version and limits'
)
ENGINE = $REPLICATEDMergeTree
-- A partition's ranges in order; its end is read backwards.
ORDER BY (topic, epoch, kpart, first)
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;

-- How far each partition is. Not part of the proof: every row is a true
-- statement when written, so the largest holds and repeats do no harm.
CREATE TABLE IF NOT EXISTS ingest_progress $ON_CLUSTER
(
    topic       LowCardinality(String) COMMENT 'topic',
    epoch       UInt32 COMMENT 'generation of the topic',
    kpart       UInt16 COMMENT 'partition',
    next_offset SimpleAggregateFunction(max, UInt64) COMMENT 'first offset not done',
    watermark   SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'every record that arrived before it has been counted',
    at          SimpleAggregateFunction(max, DateTime64(3, 'UTC')) COMMENT 'when this was last said'
)
ENGINE = $REPLICATEDAggregatingMergeTree
-- One row per partition after merges.
ORDER BY (topic, epoch, kpart);
