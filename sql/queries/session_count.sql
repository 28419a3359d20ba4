-- session_count(user or null, status or null) -> totalCount of what the list would show,
-- activeCount of those
SELECT count(*) AS "totalCount", count(*) FILTER (WHERE status = 'active') AS "activeCount"
FROM sessions
WHERE NOT tombstone
  AND ($1::text IS NULL OR user_id = $1)
  AND ($2::text IS NULL OR status = $2 OR ($2 = 'live' AND status <> 'terminated'))
