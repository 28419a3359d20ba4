-- status_sessions() -> status, count of those that are not terminated
SELECT status, count(*) AS count FROM sessions WHERE status <> 'terminated'
GROUP BY status ORDER BY status
