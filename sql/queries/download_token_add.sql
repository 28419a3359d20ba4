-- download_token_add(hash bytea, session_id text, created_at timestamptz, expires_at timestamptz, downloads int) -> session_id text
-- Nothing for a session without a configuration that can still be used.
INSERT INTO download_token (hash, session_id, created_at, expires_at, downloads_left)
SELECT $1::bytea, c.session_id, $3::timestamptz, $4::timestamptz, $5::int FROM client_config c
WHERE c.session_id = $2::text AND c.expires_at IS NULL AND c.server_public_key IS NOT NULL
RETURNING session_id AS "sessionId"
