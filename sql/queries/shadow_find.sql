-- shadow_find(letter bigint, consumer text) -> shard int, subject text, key bytea, headers bytea, value bytea, digest bytea
SELECT shard, subject, key, headers, value, digest FROM dead_letter
WHERE id = $1 AND consumer = $2 AND state = 'parked' FOR UPDATE
