-- replay_job_send(job bigint, id bigint[], author text, reason text) -> id, token
-- parked -> replaying, decided here and nowhere else. Whoever sends the records afterwards may do it twice.
UPDATE dead_letter SET state = 'replaying', job = $1, replay_token = gen_random_uuid(), replay_by = $3,
       replay_reason = $4
WHERE id = ANY ($2::bigint[]) AND state = 'parked'
RETURNING id, replay_token AS token
