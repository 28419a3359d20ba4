-- ledger_unpublished(consumer text, shard int, after bigint, limit int) -> seq bigint, topic text, key bytea, headers bytea, value bytea
SELECT l.seq, l.topic, l.key, l.headers, l.value FROM ledger l
WHERE l.consumer = $1 AND l.shard = $2 AND l.seq > $3 ORDER BY l.seq LIMIT $4::int
