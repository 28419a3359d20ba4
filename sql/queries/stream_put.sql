-- stream_put(consumer text, subject text[], was bigint[], sequence bigint[], shard int[], seq bigint[], event_key text[], rows bigint) -> guard void
-- The key is kept from the first event on. Each looked up by itself, whatever the plan thinks of the table: see lane_delete.
WITH put AS (
    INSERT INTO subject_stream AS s (subject, sequence, event_consumer, event_shard, event_seq, event_key)
    SELECT w.subject, w.sequence, $1, w.shard, w.seq, w.key
    FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::int[], $6::bigint[], $7::text[])
         AS w (subject, was, sequence, shard, seq, key)
    WHERE w.was = 0
    ON CONFLICT DO NOTHING RETURNING 1),
moved AS (
    UPDATE subject_stream s SET sequence = w.sequence, event_consumer = $1, event_shard = w.shard, event_seq = w.seq,
                                event_key = coalesce(s.event_key, w.key)
    FROM (SELECT w.*, t.ctid AS place
          FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::int[], $6::bigint[], $7::text[])
               AS w (subject, was, sequence, shard, seq, key)
          CROSS JOIN LATERAL (SELECT ctid FROM subject_stream t WHERE t.subject = w.subject OFFSET 0) t
          WHERE w.was > 0) w
    WHERE s.ctid = w.place AND s.subject = w.subject AND s.sequence = w.was RETURNING 1)
SELECT guard((SELECT count(*) FROM put) + (SELECT count(*) FROM moved), $8, 'DB002', 'subject_stream')
