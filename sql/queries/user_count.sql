-- user_count() -> totalCount, activeCount
SELECT count(*) AS "totalCount", count(*) FILTER (WHERE is_active) AS "activeCount"
FROM users WHERE NOT removed
