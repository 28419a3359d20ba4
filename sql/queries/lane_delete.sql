-- lane_delete(consumer text, shard int[], subject text[], pos bigint[], rows bigint) -> guard void
-- A table that was empty when it was analysed looks empty to the plans of the next minutes: joined in the
-- plain way it would be read as a whole and compared with every row wanted. OFFSET 0 keeps the order of the
-- join; only the shard's owner writes its rows, so that a row is still where it was found.
WITH gone AS (
    DELETE FROM pending p USING (
        SELECT t.ctid AS place FROM unnest($2::int[], $3::text[], $4::bigint[]) AS w (shard, subject, pos)
        CROSS JOIN LATERAL (SELECT ctid FROM pending t WHERE t.consumer = $1 AND t.shard = w.shard
                            AND t.subject = w.subject AND t.pos = w.pos OFFSET 0) t) w
    WHERE p.ctid = w.place
    RETURNING 1)
SELECT guard((SELECT count(*) FROM gone), $5, 'DB002', 'pending')
