-- workflow_list(org text, disabled boolean, most int, cursor text) -> workflows by id, with the connections that they depend on
-- org: null for any. disabled: only those that may not run. cursor: the id that the last page ended with.
SELECT f.id AS workflow_id, f.disabled, f.reason, f.disabled_by, f.related_connection, f.disabled_at, f.updated_at,
       (SELECT coalesce(jsonb_agg(d.connection ORDER BY d.connection), '[]') FROM workflow_dependency d WHERE d.workflow = f.id) AS connections
FROM workflow f
WHERE f.id > coalesce($4::text, '') AND ($1::text IS NULL OR starts_with(f.id, $1::text || '/')) AND (f.disabled OR NOT $2::boolean)
ORDER BY f.id LIMIT $3::int
