-- connection_credential(org text, name text, workflow text) -> id, flow, status, reason, message, completed_at, deleting, expires_at, token_type, granted, generation, disabled, disabled_why, depends, access_token: one row; id null: there is none
-- Of the organisation's own, else of GLOBAL: both are asked for by their ids, a primary key each. workflow: its id, or null.
SELECT c.id, c.flow, c.status, c.reason, c.message, c.completed_at, c.deleting, c.expires_at, c.token_type, c.granted,
       c.generation, coalesce(f.disabled, false) AS disabled, f.reason AS disabled_why,
       EXISTS (SELECT FROM workflow_dependency d WHERE d.workflow = $3::text AND d.connection = c.id) AS depends,
       c.access_token
FROM (SELECT) AS asked
LEFT JOIN LATERAL (
    SELECT o.id, o.flow, o.status, o.reason, o.message, o.completed_at, o.deleting, o.expires_at, o.token_type, o.granted,
           o.generation, o.access_token
    FROM connection o
    WHERE o.id IN ($1::text || '/' || $2::text, 'GLOBAL/' || $2::text) AND o.deleted_at IS NULL
    ORDER BY o.org = $1::text DESC LIMIT 1) AS c ON true
LEFT JOIN workflow f ON f.id = $3::text
