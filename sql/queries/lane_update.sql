-- lane_update(consumer text, shard int[], subject text[], pos bigint[], digest bytea[], state text[], compensating boolean[], attempt int[], due_at timestamptz[], first_failed_at timestamptz[], error_code text[], error_class text[], error_message text[], held_by text[], expires_at timestamptz[], rows bigint) -> guard void
-- Each looked up by itself: see lane_delete. held_by 'dead:': as in lane_insert.
WITH changed AS (
    UPDATE pending p SET state = w.state, compensating = w.compensating, attempt = w.attempt, due_at = w.due_at,
           first_failed_at = w.first_failed_at, error_code = w.error_code, error_class = w.error_class,
           error_message = w.error_message, expires_at = w.expires_at,
           held_by = CASE WHEN w.held_by = 'dead:'
                          THEN 'dead:' || (SELECT max(d.id) FROM dead_letter d WHERE d.digest = w.digest)
                          ELSE w.held_by END
    FROM (SELECT w.*, t.ctid AS place FROM unnest($2::int[], $3::text[], $4::bigint[], $5::bytea[], $6::text[], $7::boolean[], $8::int[],
                $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[], $13::text[], $14::text[],
                $15::timestamptz[])
         AS w (shard, subject, pos, digest, state, compensating, attempt, due_at, first_failed_at, error_code,
               error_class, error_message, held_by, expires_at)
          CROSS JOIN LATERAL (SELECT ctid FROM pending t WHERE t.consumer = $1 AND t.shard = w.shard
                              AND t.subject = w.subject AND t.pos = w.pos OFFSET 0) t) w
    WHERE p.ctid = w.place
    RETURNING 1)
SELECT guard((SELECT count(*) FROM changed), $16, 'DB002', 'pending')
