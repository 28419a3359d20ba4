-- dead_letter_list(filter jsonb, most int) -> id, worker, shard, state, diedAt, type, subject, tenant, class, code, message, attempts, commandId, fingerprint, replayOutcome, job, replayOf, edits
-- Newest first.
SELECT id, consumer AS worker, shard, state, died_at AS "diedAt", type, subject, tenant, class, code,
       message, attempts, command_id AS "commandId", fingerprint, replay_outcome AS "replayOutcome", job,
       replay_of AS "replayOf", edits
FROM dead_letter_matching($1)
ORDER BY died_at DESC, id DESC LIMIT $2::int
