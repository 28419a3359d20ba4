-- forget_old(now timestamptz, session_days int, dead_letter_days int, job_days int, most int) -> sessions bigint, letters bigint, streams bigint, jobs bigint
SELECT sessions, letters, streams, jobs FROM forget($1::timestamptz, $2::int, $3::int, $4::int, $5::int)
