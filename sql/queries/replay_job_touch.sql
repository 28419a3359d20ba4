-- replay_job_touch(job bigint, state text, stop_reason text, at timestamptz)
UPDATE replay_job SET state = $2, stop_reason = $3, touched_at = $4,
       finished_at = CASE WHEN $2 IN ('done', 'stopped') THEN $4::timestamptz END
WHERE id = $1
