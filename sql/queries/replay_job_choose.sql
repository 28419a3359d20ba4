-- replay_job_choose(job bigint, filter jsonb) -> total
WITH chosen AS (
    INSERT INTO replay_job_letter (job, n, dead_letter) SELECT $1, o.n, o.id FROM dead_letter_in_order($2) o
    RETURNING 1)
UPDATE replay_job SET total = (SELECT count(*) FROM chosen) WHERE id = $1 RETURNING total
