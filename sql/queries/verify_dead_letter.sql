-- verify_dead_letter(consumer text[], shard int[], after bigint[], upto bigint[]) -> subject, identity, detail
-- The index and the dead-letter topic get the same letters, in the same transaction.
WITH sent AS (
    SELECT l.consumer, l.shard, l.at, min(l.seq) AS first, max(l.seq) AS last
    FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS w (consumer, shard, after, upto)
    -- OFFSET: window by window, by its index; a join could as well read the whole ledger for each.
    CROSS JOIN LATERAL (SELECT * FROM ledger l WHERE l.consumer = w.consumer AND l.shard = w.shard AND l.seq > w.after
                        AND l.seq <= w.upto OFFSET 0) l
    WHERE l.topic = 'drawbridge.' || l.consumer || '.dlq' GROUP BY 1, 2, 3),
kept AS (
    SELECT s.*, (SELECT count(*) FROM dead_letter d WHERE d.consumer = s.consumer AND d.shard = s.shard
                 AND d.died_at = s.at) AS rows,
           -- All that died in that moment: the window may begin or end inside of a batch.
           (SELECT count(*) FROM ledger l WHERE l.consumer = s.consumer AND l.shard = s.shard AND l.at = s.at
            AND l.seq BETWEEN s.first - 20000 AND s.last + 20000
            AND l.topic = 'drawbridge.' || s.consumer || '.dlq') AS letters
    FROM sent s)
SELECT format('shard/%s/%s', consumer, shard) AS subject, at::text AS identity,
       format('%s letters for the dead-letter topic at %s, %s in the table', letters, at, rows) AS detail
FROM kept WHERE rows <> letters
LIMIT 100
