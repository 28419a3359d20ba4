-- shard_first_position(consumer text, n int, next_offset bigint[]) -> made: true for a new shard, false when a topic
-- was added to one. Positions that are there are never changed.
INSERT INTO shard (consumer, n, next_offset) VALUES ($1, $2::int, $3::bigint[])
ON CONFLICT (consumer, n) DO UPDATE SET next_offset =
    (SELECT array_agg(CASE WHEN t.old = -1 THEN t.new ELSE t.old END ORDER BY t.i)
     FROM unnest(shard.next_offset, excluded.next_offset) WITH ORDINALITY AS t(old, new, i))
RETURNING (xmax = 0) AS made
