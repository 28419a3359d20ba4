-- dead_letter_new(filter jsonb, after bigint, most int) -> as dead_letter_list, oldest first
SELECT id, consumer AS worker, shard, state, died_at AS "diedAt", type, subject, tenant, class, code,
       message, attempts, command_id AS "commandId", fingerprint, replay_outcome AS "replayOutcome", job,
       replay_of AS "replayOf", edits
FROM dead_letter_matching($1)
WHERE id > $2::bigint
ORDER BY id LIMIT $3::int
