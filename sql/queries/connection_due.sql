-- connection_due(shard int[], now timestamptz, most int) -> id text, key text, shard int, due_at timestamptz, version bigint
-- What is to be looked at, of the shards named: the longest overdue first, and a second ahead. Each shard is asked in the
-- order of its index, so that what is due later is not read.
SELECT d.id, d.id AS key, d.shard, d.due_at, d.version FROM unnest($1::int[]) AS s (n),
    LATERAL (SELECT c.id, c.shard, c.due_at, c.version FROM connection c
             WHERE c.shard = s.n AND c.due_at <= $2::timestamptz + interval '1 second'
             ORDER BY c.due_at LIMIT $3::int) d
ORDER BY d.due_at LIMIT $3::int
