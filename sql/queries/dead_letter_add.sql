-- dead_letter_add(consumer text, died_at timestamptz, worker_version text, shard int[], digest bytea[], command_id text[], type text[], source text[], subject text[], tenant text[], class text[], code text[], message text[], problems text[], attempts int[], first_failed_at timestamptz[], topic text[], partition int[], record_offset bigint[], record_at timestamptz[], key bytea[], headers bytea[], value bytea[], traceparent text[], replay_of bigint[])
INSERT INTO dead_letter (consumer, died_at, worker_version, shard, digest, command_id, type, source, subject, tenant,
                         class, code, message, problems, attempts, first_failed_at, topic, partition, record_offset,
                         record_at, key, headers, value, traceparent, replay_of)
SELECT $1, $2, $3, w.shard, w.digest, w.command_id, w.type, w.source, w.subject, w.tenant, w.class, w.code, w.message,
       w.problems::jsonb, w.attempts, w.first_failed_at, w.topic, w.partition, w.record_offset, w.record_at, w.key,
       w.headers, w.value, w.traceparent, w.replay_of
FROM unnest($4::int[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
            $12::text[], $13::text[], $14::text[], $15::int[], $16::timestamptz[], $17::text[], $18::int[],
            $19::bigint[], $20::timestamptz[], $21::bytea[], $22::bytea[], $23::bytea[], $24::text[],
            $25::bigint[])
     AS w (shard, digest, command_id, type, source, subject, tenant, class, code, message, problems, attempts,
           first_failed_at, topic, partition, record_offset, record_at, key, headers, value, traceparent, replay_of)
