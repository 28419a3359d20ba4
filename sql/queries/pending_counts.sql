-- pending_counts(consumer text, shard int) -> state text, rows bigint
SELECT state, count(*) FROM pending WHERE consumer = $1 AND shard = $2 GROUP BY state
