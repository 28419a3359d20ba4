-- token_count(owner text, status text) -> totalCount, activeCount
SELECT count(*) AS "totalCount", count(*) FILTER (WHERE status = 'active') AS "activeCount"
FROM personal_access_token t
WHERE ($1::text IS NULL OR t.owner = $1) AND ($2::text IS NULL OR t.status = $2)
