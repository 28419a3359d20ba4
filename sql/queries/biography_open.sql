-- biography_open(digest text[]) -> rows of pending: what has not ended
SELECT consumer AS worker, shard, subject, pos, command_id AS "commandId", type, state, compensating, attempt,
       due_at AS "dueAt", accepted_at AS "acceptedAt", first_failed_at AS "firstFailedAt",
       error_code AS "errorCode", error_message AS "errorMessage", topic, partition, record_offset AS "offset",
       record_at AS "recordAt", held_by AS "heldBy", encode(digest, 'hex') AS digest
FROM pending WHERE digest = ANY (ARRAY(SELECT decode(x, 'hex') FROM unnest($1::text[]) x))
ORDER BY accepted_at
