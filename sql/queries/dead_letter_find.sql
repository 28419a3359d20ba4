-- dead_letter_find(id bigint[], whole boolean) -> id bigint, consumer text, shard int, state text, token text, digest bytea, command_id text, type text, subject text, class text, job bigint, replay_by text, replay_reason text, edits int, and when whole the record: topic text, partition int, record_offset bigint, record_at timestamptz, key bytea, headers bytea, value bytea
SELECT d.id, d.consumer, d.shard, d.state, d.replay_token::text, d.digest, d.command_id, d.type, d.subject, d.class,
       d.job, d.replay_by, d.replay_reason, d.edits, d.topic, d.partition, d.record_offset, d.record_at,
       CASE WHEN $2::boolean THEN d.key END, CASE WHEN $2::boolean THEN d.headers END,
       CASE WHEN $2::boolean THEN d.value END
FROM dead_letter d WHERE d.id = ANY ($1::bigint[])
