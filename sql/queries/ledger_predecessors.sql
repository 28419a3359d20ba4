-- ledger_predecessors(consumer text[], shard int[], seq bigint[]) -> topic text, key bytea, headers bytea, value bytea
-- Other shards' events that ours follow and that may not be on the topic yet, oldest first.
WITH RECURSIVE chain AS (
    SELECT l.*, 1 AS depth FROM unnest($1::text[], $2::int[], $3::bigint[]) AS w (consumer, shard, seq)
    JOIN shard s ON s.consumer = w.consumer AND s.n = w.shard AND s.published < w.seq
    JOIN ledger l ON l.consumer = w.consumer AND l.shard = w.shard AND l.seq = w.seq
    UNION ALL
    SELECT l.*, c.depth + 1 FROM chain c
    JOIN shard s ON s.consumer = c.prev_consumer AND s.n = c.prev_shard AND s.published < c.prev_seq
    JOIN ledger l ON l.consumer = c.prev_consumer AND l.shard = c.prev_shard AND l.seq = c.prev_seq
    WHERE c.depth < 1000)
SELECT topic, key, headers, value FROM chain ORDER BY depth DESC, at, seq
