-- replay_job_plan(filter jsonb, most int) -> n, id, worker, shard, diedAt, type, subject, code, message: the first of what a replay would send
SELECT o.n, d.id, d.consumer AS worker, d.shard, d.died_at AS "diedAt", d.type, d.subject, d.code, d.message
FROM dead_letter_in_order($1) o JOIN dead_letter d ON d.id = o.id ORDER BY o.n LIMIT $2::int
