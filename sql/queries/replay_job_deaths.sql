-- replay_job_deaths(job bigint) -> code, count, exampleId, message: why letters died again
SELECT a.code, count(*) AS count, max(a.id) AS "exampleId", (array_agg(a.message ORDER BY a.id DESC))[1] AS message
FROM replay_job_letter l JOIN dead_letter d ON d.id = l.dead_letter AND d.job = l.job
JOIN dead_letter a ON a.replay_of = d.id
WHERE l.job = $1::bigint GROUP BY a.code ORDER BY count(*) DESC
