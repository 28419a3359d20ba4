-- connection_list(org text, include_global boolean, most int, cursor text) -> connections by id, their secrets masked
-- org: null for any. cursor: the id that the last page ended with.
SELECT c.id AS connection_id, c.org, c.name AS connection_name, c.flow AS oauth_flow_type, c.provider, c.client_id, c.client_auth,
       c.authorization_url, c.token_url, c.issuer, c.redirect_uri, c.scopes, c.status, c.reason, c.message AS status_message,
       c.reconnect AS reconnect_required, c.expires_at, c.renew_at, c.last_refresh_at, c.last_test_at, c.created_at, c.created_by,
       c.updated_at, c.revision, c.generation, c.config_version, c.waiting_until, c.user_code, c.verification_uri,
       CASE WHEN EXISTS (SELECT FROM connection_secret s WHERE s.connection = c.id AND s.kind = 'client_secret' AND s.state = 'current')
           THEN '********' END AS client_secret,
       CASE WHEN EXISTS (SELECT FROM connection_secret s WHERE s.connection = c.id AND s.kind = 'private_key' AND s.state = 'current')
           THEN '********' END AS private_key
FROM connection c
WHERE c.deleted_at IS NULL AND c.id > coalesce($4::text, '')
  AND ($1::text IS NULL OR c.org = $1::text OR ($2::boolean AND c.org = 'GLOBAL'))
ORDER BY c.id LIMIT $3::int
