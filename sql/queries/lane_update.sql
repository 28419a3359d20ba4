-- lane_update(consumer text, shard int[], subject text[], pos bigint[], state text[], compensating boolean[], attempt int[], due_at timestamptz[], first_failed_at timestamptz[], error_code text[], error_class text[], error_message text[], held_by text[], rows bigint) -> guard void
WITH changed AS (
    UPDATE pending p SET state = w.state, compensating = w.compensating, attempt = w.attempt, due_at = w.due_at,
           first_failed_at = w.first_failed_at, error_code = w.error_code, error_class = w.error_class,
           error_message = w.error_message, held_by = w.held_by
    FROM unnest($2::int[], $3::text[], $4::bigint[], $5::text[], $6::boolean[], $7::int[], $8::timestamptz[],
                $9::timestamptz[], $10::text[], $11::text[], $12::text[],
                $13::text[])
         AS w (shard, subject, pos, state, compensating, attempt, due_at, first_failed_at, error_code, error_class,
               error_message, held_by)
    WHERE p.consumer = $1 AND p.shard = w.shard AND p.subject = w.subject AND p.pos = w.pos
    RETURNING 1)
SELECT guard((SELECT count(*) FROM changed), $14, 'DB002', 'pending')
