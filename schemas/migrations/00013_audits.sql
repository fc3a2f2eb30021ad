-- +goose NO TRANSACTION
-- What the audit found and how far it is (invariant 10 of the design). The
-- auditor writes findings, the owner of the partition that they concern says
-- what became of them. None of it is counted anywhere.

-- +goose Up

CREATE TABLE IF NOT EXISTS audits $ON_CLUSTER
(
    topic           LowCardinality(String) COMMENT 'topic of the partition whose owner repairs it',
    epoch           UInt32 COMMENT 'generation of the topic',
    kpart           UInt16 COMMENT 'partition',
    what            LowCardinality(String) COMMENT 'the table that is wrong: of a range events, credit_entries, states, rejections or ingest_batches, of an hour a rollup',
    first           UInt64 COMMENT 'of a range its first offset; else 0',
    last            UInt64 COMMENT 'of a range its last offset, inclusive; else 0',
    workspace_id    String COMMENT 'of an hour the tenant; of a range empty',
    hour            DateTime('UTC') COMMENT 'of an hour its start, of usage_1d the day''s; of a range the end of the hours that it may have counted into',
    first_seen_at   DateTime64(3, 'UTC') COMMENT 'when it was seen first; tells one finding from a later one at the same place',
    state           LowCardinality(String) COMMENT 'drift; ok: not there when looked at again; repaired; unprovable: left as it is',
    step            UInt8 COMMENT '1 seen, 2 seen twice and to be repaired, 3 settled, 4 settled by a repair: the last step holds',
    expected        Int64 COMMENT 'rows that a range should have, or events of the keys of an hour that differ',
    found           Int64 COMMENT 'what there is instead',
    expected_micro  Int128 COMMENT 'the same in net micro-credits',
    found_micro     Int128 COMMENT 'what there is instead',
    keys            UInt64 COMMENT 'keys of an hour that differ; of a range 0',
    fingerprint     UInt64 COMMENT 'hash of the difference: what is seen twice must be the same',
    confirmed_at    Nullable(DateTime64(3, 'UTC')) COMMENT 'when it was seen again',
    settled_at      Nullable(DateTime64(3, 'UTC')) COMMENT 'when it was repaired or given up',
    token           String COMMENT 'of a repair: the token under which it was done, a hash of what it mended',
    note            String COMMENT 'what was done, or why nothing can be'
)
ENGINE = $REPLICATEDReplacingMergeTree(step)
-- Whoever repairs reads a partition's; the row of the last step holds.
ORDER BY (topic, epoch, kpart, what, first, last, workspace_id, hour, first_seen_at);

-- Hours of event time that were audited, or that were counted into since.
CREATE TABLE IF NOT EXISTS audit_hours $ON_CLUSTER
(
    epoch   UInt32 COMMENT 'generation of the topics',
    hour    DateTime('UTC') COMMENT 'start of the hour',
    dirty   UInt8 COMMENT '1: counted into after it was sealed, and not audited since',
    at      DateTime64(3, 'UTC') COMMENT 'when that was said'
)
ENGINE = $REPLICATEDReplacingMergeTree(at)
-- One row an hour: the newest word holds.
ORDER BY (epoch, hour);

-- Where the audit is. A place that is said late does no harm: what lies behind
-- it is audited once more.
CREATE TABLE IF NOT EXISTS audit_progress $ON_CLUSTER
(
    epoch  UInt32 COMMENT 'generation of the topics',
    topic  LowCardinality(String) COMMENT 'topic of ranges; empty: hours',
    kpart  UInt16 COMMENT 'partition of ranges; of hours 0: sealed hours, 1: the sweep of days, 2: from where on everything can be proven, 3: cycles',
    next   Int64 COMMENT 'offset of the next range, or the next hour or day in seconds since 1970; of cycles how many there were',
    at     DateTime64(3, 'UTC') COMMENT 'when that was said'
)
ENGINE = $REPLICATEDReplacingMergeTree(at)
ORDER BY (epoch, topic, kpart);
