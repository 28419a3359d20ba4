-- verify_sent_find(topic text[], partition int[], ce_id text[], at timestamptz[], identity text[]) -> i bigint, gone boolean, consumer text, shard int, seq bigint, same boolean
-- The rows of records that were met on a topic: i counts the parameters from 1; gone: the ledger of that day was
-- dropped; no consumer: there is no such row; same: it is this very record. Events are of the time of their batch;
-- letters and tickets, which keep the ids of others, are on the partition of their shard.
WITH s AS (
    SELECT w.*, (w.at AT TIME ZONE 'UTC')::date AS day
    FROM unnest($1::text[], $2::int[], $3::text[], $4::timestamptz[], $5::text[])
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
    WHERE s.topic <> 'drawbridge.events' AND l.ce_id IS NULL
      AND md5(coalesce(l.key, '') || l.headers || coalesce(l.value, '')) = s.identity)
SELECT DISTINCT ON (s.i) s.i, s.day IS NOT NULL AND to_regclass('ledger_' || to_char(s.day, 'YYYYMMDD')) IS NULL AS gone,
       f.consumer, f.shard, f.seq, coalesce(f.same, false) AS same
FROM s LEFT JOIN found f USING (i)
ORDER BY s.i, f.same DESC NULLS LAST, f.seq DESC
