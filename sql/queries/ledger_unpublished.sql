-- ledger_unpublished(consumer text, shard int, after bigint, most int) -> seq bigint, own boolean, topic text, key bytea, headers bytea, value bytea
-- The shard's rows behind `after`, in order; before each of them the events of other shards that it
-- follows and that may not be on the topic yet, oldest first (as ledger_predecessors).
WITH RECURSIVE own AS (
    SELECT l.* FROM ledger l
    WHERE l.consumer = $1 AND l.shard = $2 AND l.seq > $3 ORDER BY l.seq LIMIT $4::int),
before AS (
    SELECT o.seq AS goes_before, 1 AS depth, l.* FROM own o
    JOIN shard s ON s.consumer = o.prev_consumer AND s.n = o.prev_shard AND s.published < o.prev_seq
    JOIN ledger l ON l.consumer = o.prev_consumer AND l.shard = o.prev_shard AND l.seq = o.prev_seq
    WHERE (o.prev_consumer, o.prev_shard) IS DISTINCT FROM ($1, $2)
    UNION ALL
    SELECT b.goes_before, b.depth + 1, l.* FROM before b
    JOIN shard s ON s.consumer = b.prev_consumer AND s.n = b.prev_shard AND s.published < b.prev_seq
    JOIN ledger l ON l.consumer = b.prev_consumer AND l.shard = b.prev_shard AND l.seq = b.prev_seq
    WHERE b.depth < 1000)
SELECT w.seq, w.depth = 0, w.topic, w.key, w.headers, w.value FROM (
    SELECT seq, 0 AS depth, topic, key, headers, value FROM own
    UNION ALL SELECT goes_before, depth, topic, key, headers, value FROM before) w
ORDER BY w.seq, w.depth DESC
