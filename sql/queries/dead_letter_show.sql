-- dead_letter_show(id bigint) -> one row, the message byte for byte (key, headers, value as bytea)
SELECT id, consumer AS worker, shard, state, died_at AS "diedAt", command_id AS "commandId", type,
       source, subject, tenant, class, code, message, problems, attempts, fingerprint,
       first_failed_at AS "firstFailedAt", topic, partition, record_offset AS "offset",
       record_at AS "recordAt", key, headers, value, traceparent, worker_version AS "workerVersion",
       original_headers AS "originalHeaders", original_value AS "originalValue", edits,
       edited_by AS "editedBy", edited_at AS "editedAt", edit_reason AS "editReason", edit_diff AS "editDiff",
       job, replay_by AS "replayBy", replay_reason AS "replayReason", replay_of AS "replayOf",
       replay_token IS NOT NULL AS "onItsWay", replay_outcome AS "replayOutcome", resolved_at AS "resolvedAt",
       discarded_by AS "discardedBy", discard_reason AS "discardReason", encode(digest, 'hex') AS digest
FROM dead_letter WHERE id = $1::bigint
