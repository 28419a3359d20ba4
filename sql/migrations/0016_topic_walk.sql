-- How far the reconciler has compared the topics with the ledger: every row behind `shards` ({"consumer/n": seq})
-- was committed after the topics ended at `positions` ({"topic/partition": offset}), so whoever goes on from there
-- meets each of them, whatever the clocks say.
CREATE TABLE topic_walk (
    walker    text  PRIMARY KEY,
    positions jsonb NOT NULL,
    shards    jsonb NOT NULL,
    at        timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON topic_walk TO drawbridge_worker;
GRANT SELECT ON topic_walk TO drawbridge_gateway, drawbridge_reader;

-- Tickets and dead letters keep others' ids and are looked up by their topic; events by their day and time.
CREATE INDEX ledger_letters ON ledger (topic, shard) WHERE ce_id IS NULL;
