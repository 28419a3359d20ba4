-- connection_due(shard int[], now timestamptz, most int) -> id text, shard int, due_at timestamptz, version bigint
-- What is to be looked at, of the shards named: the longest overdue first, and a second ahead.
SELECT id, shard, due_at, version FROM connection
WHERE shard = ANY ($1::int[]) AND due_at <= $2::timestamptz + interval '1 second'
ORDER BY due_at LIMIT $3::int
