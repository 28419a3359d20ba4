-- stream_put(consumer text, subject text[], was bigint[], sequence bigint[], shard int[], seq bigint[], rows bigint) -> guard void
WITH put AS (
    INSERT INTO subject_stream AS s (subject, sequence, event_consumer, event_shard, event_seq)
    SELECT w.subject, w.sequence, $1, w.shard, w.seq
    FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::int[], $6::bigint[]) AS w (subject, was, sequence, shard, seq)
    WHERE w.was = 0
    ON CONFLICT DO NOTHING RETURNING 1),
moved AS (
    UPDATE subject_stream s SET sequence = w.sequence, event_consumer = $1, event_shard = w.shard, event_seq = w.seq
    FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::int[], $6::bigint[]) AS w (subject, was, sequence, shard, seq)
    WHERE s.subject = w.subject AND s.sequence = w.was AND w.was > 0 RETURNING 1)
SELECT guard((SELECT count(*) FROM put) + (SELECT count(*) FROM moved), $7, 'DB002', 'subject_stream')
