-- workflow_disabled_list(org text, most int, cursor text) -> the workflows that are disabled, by id
-- org: null for any. cursor: the id that the last page ended with.
SELECT f.id AS workflow_id, split_part(f.id, '/', 1) AS org, f.reason, f.disabled_by, f.related_connection, f.disabled_at,
       f.disabled
FROM workflow f
WHERE f.disabled AND f.id > coalesce($3::text, '') AND ($1::text IS NULL OR starts_with(f.id, $1::text || '/'))
ORDER BY f.id LIMIT $2::int
