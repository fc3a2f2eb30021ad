-- +goose NO TRANSACTION
-- Test messages: whoever set a webhook up asks for one, which is a row of
-- alert_deliveries per destination with outcome retrying, state test and
-- attempt 0, and no incident. The aggregator settles it as any other.

-- +goose Up

ALTER TABLE alert_deliveries $ON_CLUSTER
    COMMENT COLUMN IF EXISTS incident_id 'the incident; of a test an id of its own, test-...',
    COMMENT COLUMN IF EXISTS state 'firing or resolved; test: no incident, somebody wanted to see whether the webhook works',
    COMMENT COLUMN IF EXISTS attempt 'from 1; 0: settled without sending anything, or of a test that it was asked for';
