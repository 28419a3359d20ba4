-- lane_insert(consumer text, shard int[], subject text[], pos bigint[], digest bytea[], day date[], command_id text[], type text[], state text[], compensating boolean[], attempt int[], due_at timestamptz[], accepted_at timestamptz[], first_failed_at timestamptz[], error_code text[], error_class text[], error_message text[], held_by text[], expires_at timestamptz[], replay_of bigint[], topic text[], partition int[], record_offset bigint[], record_at timestamptz[], key bytea[], headers bytea[], value bytea[])
-- pos null: behind what the lane holds, in the order given. held_by 'dead:' is completed with the number of
-- the dead letter that the command has just become.
INSERT INTO pending (consumer, shard, subject, pos, digest, day, command_id, type, state, compensating, attempt,
                     due_at, accepted_at, first_failed_at, error_code, error_class, error_message, held_by, expires_at,
                     replay_of, topic, partition, record_offset, record_at, key, headers, value)
SELECT $1, w.shard, w.subject,
       coalesce(w.pos, (SELECT coalesce(max(p.pos), 0) FROM pending p
                        WHERE p.consumer = $1 AND p.shard = w.shard AND p.subject = w.subject)
                       + row_number() OVER (PARTITION BY w.shard, w.subject ORDER BY w.i)),
       w.digest, w.day, w.command_id, w.type, w.state, w.compensating, w.attempt, w.due_at, w.accepted_at,
       w.first_failed_at, w.error_code, w.error_class, w.error_message,
       CASE WHEN w.held_by = 'dead:' THEN 'dead:' || (SELECT max(d.id) FROM dead_letter d WHERE d.digest = w.digest)
            ELSE w.held_by END,
       w.expires_at, w.replay_of, w.topic, w.partition, w.record_offset, w.record_at, w.key, w.headers, w.value
FROM unnest($2::int[], $3::text[], $4::bigint[], $5::bytea[], $6::date[], $7::text[], $8::text[], $9::text[],
            $10::boolean[], $11::int[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::text[],
            $16::text[], $17::text[], $18::text[], $19::timestamptz[], $20::bigint[], $21::text[], $22::int[],
            $23::bigint[], $24::timestamptz[], $25::bytea[], $26::bytea[], $27::bytea[]) WITH ORDINALITY
     AS w (shard, subject, pos, digest, day, command_id, type, state, compensating, attempt, due_at, accepted_at,
           first_failed_at, error_code, error_class, error_message, held_by, expires_at, replay_of, topic, partition,
           record_offset, record_at, key, headers, value, i)
