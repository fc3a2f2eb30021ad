-- +goose NO TRANSACTION
-- What campaigns and workspaces will have used. The aggregator makes it anew
-- every half minute where something changed, and every hour where nothing did;
-- the query API reads the newest. It may be deleted: it is made again.

-- +goose Up

CREATE TABLE IF NOT EXISTS campaign_projections $ON_CLUSTER
(
    workspace_id       String COMMENT 'the tenant',
    campaign_id        String COMMENT 'empty: what no campaign used; +: campaigns that are not there yet; *: the whole workspace',
    made_at            DateTime64(3, 'UTC') COMMENT 'when it was made; of * when the workspace was looked at last',
    watermark          DateTime64(3, 'UTC') COMMENT 'what had been counted then; the curve begins here',
    method             LowCardinality(String) COMMENT 'seasonal, run_rate or insufficient_data',
    at                 DateTime64(3, 'UTC') COMMENT 'end of the period that is projected to',
    used_micro         Int128 COMMENT 'net over its life, at the watermark; of * in the period',
    mean_micro         Int128 COMMENT 'what is expected to have been used by then; means of campaigns add up to that of *',
    p10_micro          Int128 COMMENT '10 % chance that it is less',
    p50_micro          Int128 COMMENT 'the median',
    p90_micro          Int128 COMMENT '10 % chance that it is more',
    quota_exhausts_at  Nullable(DateTime64(3, 'UTC')) COMMENT 'when the quota is reached, by the median; null: it is not, or there is none',
    curve_at           Array(DateTime64(3, 'UTC')) COMMENT 'instants of the curve, ascending',
    curve_mean         Array(Float64) COMMENT 'credits expected to be used from the watermark to each',
    curve_p10          Array(Float64) COMMENT 'the same, 10 % chance that it is less',
    curve_p50          Array(Float64) COMMENT 'the same, the median',
    curve_p90          Array(Float64) COMMENT 'the same, 10 % chance that it is more'
)
ENGINE = $REPLICATEDReplacingMergeTree(made_at)
-- A workspace's are one read; the newest of each is all that is asked for.
ORDER BY (workspace_id, campaign_id);
