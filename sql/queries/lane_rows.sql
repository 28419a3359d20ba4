-- lane_rows(subject text, command text) -> lane, worker, shard, pos, commandId, type, state, attempt, nextDue, holder, expiresAt, errorCode, errorMessage, replayOf, since
-- What waits in a lane, in order; or, by its id, one command wherever it waits.
SELECT subject AS lane, consumer AS worker, shard, pos, command_id AS "commandId", type, state, attempt,
       due_at AS "nextDue", held_by AS holder, expires_at AS "expiresAt", error_code AS "errorCode",
       error_message AS "errorMessage", replay_of AS "replayOf", accepted_at AS since
FROM pending
WHERE ($1::text IS NULL OR subject = $1) AND ($2::text IS NULL OR command_id = $2)
ORDER BY consumer, shard, subject, state = 'scheduled', pos LIMIT 1100
