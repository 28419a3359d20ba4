-- held_count(consumer text, shard int[]) -> shard int, held_by text, rows bigint, failing timestamptz
-- failing: since when a dependency has failed, as the breaker that opened last tells.
SELECT p.shard, p.held_by, count(*),
       (SELECT max(b.failing_at) FROM breaker b
        WHERE b.worker = $1 AND b.state <> 'closed' AND p.held_by = 'breaker:' || b.dependency) AS failing
FROM pending p
WHERE p.consumer = $1 AND p.shard = ANY($2::int[]) AND p.held_by IS NOT NULL AND p.state = 'held'
GROUP BY p.shard, p.held_by
