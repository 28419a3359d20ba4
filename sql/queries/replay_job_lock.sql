-- replay_job_lock(job bigint) -> locked: nobody else runs it; held until the connection ends
SELECT pg_try_advisory_lock(1146241114, $1::bigint::int) AS locked
