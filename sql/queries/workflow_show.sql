-- workflow_show(id text) -> one row, with the connections that it depends on
SELECT f.id AS workflow_id, f.disabled, f.reason, f.disabled_by, f.related_connection, f.disabled_at, f.created_at,
       f.updated_at, f.revision,
       (SELECT coalesce(jsonb_agg(d.connection ORDER BY d.connection), '[]') FROM workflow_dependency d WHERE d.workflow = f.id) AS connections
FROM workflow f WHERE f.id = $1::text
