-- held_oldest(consumer text, shard int[], held_by text, most int) -> shard int, subject text, digest bytea
-- What came to wait first; due_at of a held row is when it began to.
SELECT shard, subject, digest FROM pending
WHERE consumer = $1 AND shard = ANY($2::int[]) AND state = 'held' AND held_by = $3
ORDER BY due_at, subject LIMIT $4::int
