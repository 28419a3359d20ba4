-- session_count(user_id text, status text) -> totalCount of what the list would show, activeCount of those
-- null: any.
SELECT count(*) AS "totalCount", count(*) FILTER (WHERE status = 'active') AS "activeCount"
FROM sessions
WHERE NOT tombstone
  AND ($1::text IS NULL OR user_id = $1)
  AND ($2::text IS NULL OR status = $2 OR ($2 = 'live' AND status <> 'terminated'))
