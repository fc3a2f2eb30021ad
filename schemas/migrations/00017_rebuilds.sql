-- +goose NO TRANSACTION
-- Rollups that are made anew while ingestion goes on, by `drawdown migrate
-- --rebuild`: which, and how far each is. Package schemas/rebuilds says how the
-- command and the consumers go about it.

-- +goose Up

CREATE TABLE IF NOT EXISTS rebuilds $ON_CLUSTER
(
    number         UInt32 COMMENT 'counts them; part of the name of the new table',
    rollup         LowCardinality(String) COMMENT 'the rollup that is made anew',
    step           UInt8 COMMENT '0 begun, 1 the new table is fed and filled, 2 it has taken the place of the old one, 3 given up: the last step holds',
    run            String COMMENT 'the run of the command that began it',
    copied_before  DateTime('UTC') COMMENT 'start of the buckets that are made of raw events; earlier ones are copied from the old table',
    at             DateTime64(3, 'UTC') COMMENT 'when that was said'
)
ENGINE = $REPLICATEDReplacingMergeTree(step)
ORDER BY number
-- Of two runs that begin the same number one stands.
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;

-- What the owner of each partition fills in, between two batches.
CREATE TABLE IF NOT EXISTS rebuild_pieces $ON_CLUSTER
(
    number       UInt32 COMMENT 'the rebuild',
    epoch        UInt32 COMMENT 'generation of the topics',
    kpart        UInt16 COMMENT 'partition',
    piece        UInt32 COMMENT '0: the partition itself; else one of its pieces',
    step         UInt8 COMMENT 'of a partition 1: its owner knows of the rebuild, 2: and has gone on after it; of a piece 1: to be filled in, 2: filled in; the last step holds',
    partitions   UInt16 COMMENT 'how many partitions there are',
    copied       UInt8 COMMENT 'of a piece 1: from the old table; 0: from the source of the rollup',
    workspaces   Array(String) COMMENT 'of a piece: whose buckets',
    from         DateTime('UTC') COMMENT 'of a piece: start of its first bucket',
    to           DateTime('UTC') COMMENT 'of a piece: end of its last one, exclusive',
    source_rows  UInt64 COMMENT 'of a piece: rows that the source had',
    at           DateTime64(3, 'UTC') COMMENT 'when that was said'
)
ENGINE = $REPLICATEDReplacingMergeTree(step)
-- An owner reads the pieces of its partition, in order.
ORDER BY (number, epoch, kpart, piece)
SETTINGS $DEDUPLICATION_WINDOW = 50000, fsync_after_insert = 1, fsync_part_directory = 1;
