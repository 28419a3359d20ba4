-- lane_find(consumer text, shard int[], subject text[], most int[]) -> shard int, subject text, rows bigint, bytes bigint, then the columns of pending
-- Most commands have no lane, and are asked about while any other has: one look at the index each, no more.
SELECT w.shard, w.subject, l.n, l.bytes, p.pos, p.digest, p.day, p.command_id, p.type, p.state, p.compensating,
       p.attempt, p.due_at, p.accepted_at, p.first_failed_at, p.error_code, p.error_class, p.error_message,
       p.topic, p.partition, p.record_offset, p.record_at, p.key, p.headers, p.value, p.held_by, p.expires_at,
       p.replay_of
FROM unnest($2::int[], $3::text[], $4::int[]) AS w (shard, subject, most)
CROSS JOIN LATERAL (
    SELECT q.subject FROM pending q
    WHERE q.consumer = $1 AND q.shard = w.shard AND q.subject = w.subject LIMIT 1) any_row
CROSS JOIN LATERAL (
    SELECT count(*) AS n, coalesce(sum(length(q.value)), 0)::bigint AS bytes FROM pending q
    WHERE q.consumer = $1 AND q.shard = w.shard AND q.subject = any_row.subject AND q.state <> 'scheduled') l
CROSS JOIN LATERAL (
    SELECT * FROM pending q
    WHERE q.consumer = $1 AND q.shard = w.shard AND q.subject = any_row.subject AND q.state <> 'scheduled'
    ORDER BY q.pos LIMIT w.most) p
ORDER BY w.shard, w.subject, p.pos
