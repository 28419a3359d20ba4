-- lane_delete(consumer text, shard int[], subject text[], pos bigint[], rows bigint) -> guard void
WITH gone AS (
    DELETE FROM pending p USING unnest($2::int[], $3::text[], $4::bigint[]) AS w (shard, subject, pos)
    WHERE p.consumer = $1 AND p.shard = w.shard AND p.subject = w.subject AND p.pos = w.pos
    RETURNING 1)
SELECT guard((SELECT count(*) FROM gone), $5, 'DB002', 'pending')
