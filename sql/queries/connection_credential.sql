-- connection_credential(org text, name text) -> id, status, reason, message, completed_at, deleting, expires_at, token_type, granted, generation, access_token: of the organisation's own, else of GLOBAL
-- Both are asked for by their ids: a primary key each.
SELECT c.id, c.status, c.reason, c.message, c.completed_at, c.deleting, c.expires_at, c.token_type, c.granted, c.generation,
       c.access_token
FROM connection c
WHERE c.id IN ($1::text || '/' || $2::text, 'GLOBAL/' || $2::text) AND c.deleted_at IS NULL
ORDER BY c.org = $1::text DESC LIMIT 1
