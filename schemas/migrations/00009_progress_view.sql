-- +goose NO TRANSACTION
-- How far each partition is, from the ledger of batches itself: whoever asks
-- whether figures have changed reads one row per partition, instead of the end
-- of every partition's ledger besides.

-- +goose Up

-- Without a watermark, which consumers say on their own: it moves when nothing
-- comes, too. A row that comes twice, or not at all because its batch was
-- retried after the view was made, does no harm: the largest holds, and
-- consumers write theirs a moment later.
CREATE MATERIALIZED VIEW IF NOT EXISTS ingest_progress_view $ON_CLUSTER TO ingest_progress AS
SELECT
    topic,
    epoch,
    kpart,
    last + 1 AS next_offset,
    toDateTime64(0, 3, 'UTC') AS watermark,
    toDateTime64(0, 3, 'UTC') AS at
FROM ingest_batches;
