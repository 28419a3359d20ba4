-- dead_letter_show(id bigint) -> one row, the message byte for byte (key, headers, value as bytea)
SELECT id, consumer AS worker, shard, state, died_at AS "diedAt", command_id AS "commandId", type,
       source, subject, tenant, class, code, message, problems, attempts,
       first_failed_at AS "firstFailedAt", topic, partition, record_offset AS "offset",
       record_at AS "recordAt", key, headers, value, traceparent, worker_version AS "workerVersion"
FROM dead_letter WHERE id = $1::bigint
