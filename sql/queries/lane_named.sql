-- lane_named(consumer text, shard int[], subject text[], digest bytea[], held_by text[]) -> as lane_find
-- Rows wherever they stand in their lanes: the one with a digest; without one, what is scheduled for the
-- subject; without a subject, what is held by something. By the digest and nothing else (OFFSET 0): see lane_delete.
SELECT p.shard, p.subject, 0::bigint, 0::bigint, p.pos, p.digest, p.day, p.command_id, p.type, p.state,
       p.compensating, p.attempt, p.due_at, p.accepted_at, p.first_failed_at, p.error_code, p.error_class,
       p.error_message, p.topic, p.partition, p.record_offset, p.record_at, p.key, p.headers, p.value, p.held_by,
       p.expires_at, p.replay_of
FROM unnest($2::int[], $3::text[], $4::bytea[], $5::text[]) AS w (shard, subject, digest, held_by)
CROSS JOIN LATERAL (
    (SELECT * FROM (SELECT * FROM pending r WHERE r.digest = w.digest OFFSET 0) q
     WHERE q.consumer = $1 AND q.shard = w.shard AND q.subject = w.subject)
    UNION ALL
    (SELECT * FROM pending q
     WHERE w.digest IS NULL AND q.consumer = $1 AND q.shard = w.shard AND q.subject = w.subject
       AND q.state = 'scheduled' ORDER BY q.pos LIMIT 1000)
    UNION ALL
    (SELECT * FROM pending q
     WHERE w.subject IS NULL AND q.consumer = $1 AND q.shard = w.shard AND q.held_by = w.held_by)) p
ORDER BY p.shard, p.subject, p.pos
