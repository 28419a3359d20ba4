-- connection_show(org text, name text) -> one row, everything about a connection, its secrets masked: the organisation's own, else that of GLOBAL
SELECT c.id AS connection_id, c.org, c.name AS connection_name, c.flow AS oauth_flow_type, c.provider, c.client_id, c.client_auth,
       c.authorization_url, c.token_url, c.issuer, c.redirect_uri, c.scopes, c.status, c.reason, c.message AS status_message,
       c.reconnect AS reconnect_required, c.expires_at, c.renew_at, c.last_refresh_at, c.last_test_at, c.created_at, c.created_by,
       c.updated_at, c.revision, c.generation, c.config_version, c.waiting_until, c.user_code, c.verification_uri,
       CASE WHEN EXISTS (SELECT FROM connection_secret s WHERE s.connection = c.id AND s.kind = 'client_secret' AND s.state = 'current')
           THEN '********' END AS client_secret,
       CASE WHEN EXISTS (SELECT FROM connection_secret s WHERE s.connection = c.id AND s.kind = 'private_key' AND s.state = 'current')
           THEN '********' END AS private_key
FROM connection c
WHERE c.org IN ($1::text, 'GLOBAL') AND c.name = $2::text AND c.deleted_at IS NULL
ORDER BY c.org = $1::text DESC LIMIT 1
