-- replay_job_list(job bigint, most int) -> one job, or (null) the newest; with what became of their letters
-- running: somebody holds its lock. waiting: not sent yet. open: sent, no outcome yet. skipped: somebody
-- else had replayed or discarded it.
SELECT j.id, CASE WHEN j.state = 'open' AND r.running THEN 'running' WHEN j.state = 'open' THEN 'interrupted'
                  ELSE j.state END AS state,
       j.stop_reason AS "stopReason", j.filter, j.options, j.author, j.reason, j.total, j.created_at AS "createdAt",
       j.touched_at AS "touchedAt", j.finished_at AS "finishedAt", r.running, c.*
FROM (SELECT * FROM replay_job WHERE $1::bigint IS NULL OR id = $1 ORDER BY id DESC LIMIT $2::int) j
CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND database =
                                   (SELECT oid FROM pg_database WHERE datname = current_database()) AND classid = 1146241114
                                   AND objid = j.id AND granted) AS running) r
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE d.job = j.id AND d.state <> 'parked') AS sent,
           count(*) FILTER (WHERE d.state = 'parked') AS waiting,
           count(*) FILTER (WHERE d.job = j.id AND d.state = 'replaying') AS open,
           count(*) FILTER (WHERE d.job = j.id AND d.replay_outcome = 'done') AS done,
           count(*) FILTER (WHERE d.job = j.id AND d.replay_outcome = 'refused') AS refused,
           count(*) FILTER (WHERE d.job = j.id AND d.replay_outcome = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE d.job = j.id AND d.replay_outcome = 'dead') AS dead,
           count(*) FILTER (WHERE d.id IS NULL OR (d.state <> 'parked' AND d.job IS DISTINCT FROM j.id)) AS skipped
    FROM replay_job_letter l LEFT JOIN dead_letter d ON d.id = l.dead_letter WHERE l.job = j.id) c
ORDER BY j.id DESC
