-- replay_job_next(job bigint, after int, most int) -> n, id, worker, shard, key, headers, value, token
-- Letters that have to be sent: parked ones, and those whose sending was cut off (their token is still
-- there: the owner has not taken the record in).
SELECT l.n, d.id, d.consumer AS worker, d.shard, d.key, d.headers, d.value,
       CASE WHEN d.job = l.job THEN d.replay_token END AS token, d.edits, d.topic, d.record_offset AS "offset"
FROM replay_job_letter l JOIN dead_letter d ON d.id = l.dead_letter
WHERE l.job = $1::bigint AND l.n > $2::int
  AND (d.state = 'parked' OR (d.state = 'replaying' AND d.job = l.job AND d.replay_token IS NOT NULL))
ORDER BY l.n LIMIT $3::int
