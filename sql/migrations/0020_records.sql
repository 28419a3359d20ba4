-- `drawbridge verify` compares drawbridge.events in its own memory, as the audit worker does.
DROP TABLE verify_seen;

-- The rows of records that were met on a topic: i counts the parameters from 1; gone: the ledger of that day was
-- dropped; no consumer: there is no such row; same: it is this very record. Events are of the time of their batch;
-- letters and tickets, which keep the ids of others, are on the partition of their shard.
--
-- What was just written has no statistics: the planner takes it for a few rows, and would compare each record with
-- each of a hundred thousand rows. Hence the setting; each join here is an equality, and is hashed.
CREATE FUNCTION ledger_of_records(topics text[], partitions int[], ids text[], times timestamptz[], identities text[])
RETURNS TABLE (i bigint, gone boolean, consumer text, shard int, seq bigint, same boolean)
LANGUAGE sql STABLE SET search_path = public, pg_temp SET enable_nestloop = off AS $$
WITH s AS (
    SELECT w.*, (w.at AT TIME ZONE 'UTC')::date AS day
    FROM unnest(topics, partitions, ids, times, identities)
         WITH ORDINALITY AS w (topic, partition, ce_id, at, identity, i)),
found AS (
    SELECT s.i, l.consumer, l.shard, l.seq,
           md5(coalesce(l.key, '') || l.headers || coalesce(l.value, '')) = s.identity AS same
    FROM s JOIN ledger l ON l.at = s.at AND l.day = s.day AND l.ce_id = s.ce_id AND l.topic = s.topic
    WHERE s.topic = 'drawbridge.events' AND l.topic = 'drawbridge.events'
      AND l.day >= (SELECT min(day) FROM s) AND l.day <= (SELECT max(day) FROM s)
    UNION ALL
    SELECT s.i, l.consumer, l.shard, l.seq, true
    FROM s JOIN ledger l ON l.topic = s.topic AND l.shard = s.partition
         AND md5(coalesce(l.key, '') || l.headers || coalesce(l.value, '')) = s.identity
    WHERE s.topic <> 'drawbridge.events' AND l.ce_id IS NULL AND l.topic = ANY (topics))
SELECT DISTINCT ON (s.i) s.i, s.day IS NOT NULL AND to_regclass('ledger_' || to_char(s.day, 'YYYYMMDD')) IS NULL,
       f.consumer, f.shard, f.seq, coalesce(f.same, false)
FROM s LEFT JOIN found f USING (i)
ORDER BY s.i, f.same DESC NULLS LAST, f.seq DESC
$$;
