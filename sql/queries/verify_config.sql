-- verify_config(bytes bigint) -> subject, identity, detail
-- A session's configuration lives as long as the session, and names its address.
SELECT 'session/' || s.id AS subject, s.status AS identity,
       CASE WHEN c.session_id IS NULL THEN format('%s without a configuration', s.status)
            WHEN s.status = 'terminated' THEN 'is over, and its configuration could still be used'
            WHEN c.expires_at IS NOT NULL THEN format('%s, and its configuration is expired', s.status)
            ELSE format('%s at %s, its configuration says %s', s.status, s.client_ip_address, c.client_ip_address)
            END AS detail
FROM sessions s TABLESAMPLE SYSTEM (verify_share('sessions', $1)) LEFT JOIN client_config c ON c.session_id = s.id
WHERE (s.status IN ('active', 'idle')
       AND (c.session_id IS NULL OR c.expires_at IS NOT NULL OR c.server_public_key IS NULL
            OR c.client_ip_address <> s.client_ip_address))
   OR (s.status = 'terminated' AND c.session_id IS NOT NULL
       AND (c.expires_at IS NULL OR c.client_private_key IS NOT NULL))
LIMIT 100
