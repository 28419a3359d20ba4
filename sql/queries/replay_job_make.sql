-- replay_job_make(filter jsonb, options jsonb, author text, reason text, at timestamptz) -> id
INSERT INTO replay_job (filter, options, author, reason, created_at, touched_at)
VALUES ($1, $2, $3, $4, $5, $5) RETURNING id
