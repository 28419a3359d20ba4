-- lane_insert(consumer text, shard int[], subject text[], digest bytea[], day date[], command_id text[], type text[], state text[], compensating boolean[], attempt int[], due_at timestamptz[], accepted_at timestamptz[], first_failed_at timestamptz[], error_code text[], error_class text[], error_message text[], topic text[], partition int[], record_offset bigint[], record_at timestamptz[], key bytea[], headers bytea[], value bytea[], held_by text[])
-- pos: behind what the lane holds, in the order given.
INSERT INTO pending (consumer, shard, subject, pos, digest, day, command_id, type, state, compensating, attempt,
                     due_at, accepted_at, first_failed_at, error_code, error_class, error_message, topic,
                     partition, record_offset, record_at, key, headers, value, held_by)
SELECT $1, w.shard, w.subject,
       (SELECT coalesce(max(p.pos), 0) FROM pending p
        WHERE p.consumer = $1 AND p.shard = w.shard AND p.subject = w.subject)
       + row_number() OVER (PARTITION BY w.shard, w.subject ORDER BY w.i),
       w.digest, w.day, w.command_id, w.type, w.state, w.compensating, w.attempt, w.due_at, w.accepted_at,
       w.first_failed_at, w.error_code, w.error_class, w.error_message, w.topic, w.partition, w.record_offset,
       w.record_at, w.key, w.headers, w.value, w.held_by
FROM unnest($2::int[], $3::text[], $4::bytea[], $5::date[], $6::text[], $7::text[], $8::text[], $9::boolean[],
            $10::int[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::text[], $15::text[],
            $16::text[], $17::text[], $18::int[], $19::bigint[], $20::timestamptz[], $21::bytea[], $22::bytea[],
            $23::bytea[], $24::text[]) WITH ORDINALITY
     AS w (shard, subject, digest, day, command_id, type, state, compensating, attempt, due_at, accepted_at,
           first_failed_at, error_code, error_class, error_message, topic, partition, record_offset, record_at,
           key, headers, value, held_by, i)
