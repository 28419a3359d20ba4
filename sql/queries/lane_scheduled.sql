-- lane_scheduled(consumer text, shard int[], subject text[], digest bytea[]) -> as lane_find
SELECT w.shard, w.subject, 0::bigint, 0::bigint, p.pos, p.digest, p.day, p.command_id, p.type, p.state,
       p.compensating, p.attempt, p.due_at, p.accepted_at, p.first_failed_at, p.error_code, p.error_class,
       p.error_message, p.topic, p.partition, p.record_offset, p.record_at, p.key, p.headers, p.value,
       p.held_by
FROM unnest($2::int[], $3::text[], $4::bytea[]) AS w (shard, subject, digest)
JOIN pending p ON p.consumer = $1 AND p.shard = w.shard AND p.subject = w.subject AND p.digest = w.digest
WHERE p.state = 'scheduled'
