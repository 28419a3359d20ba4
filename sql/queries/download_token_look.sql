-- download_token_look(hash bytea, now timestamptz) -> session_id text
-- Whether it could be used; nothing is taken.
SELECT t.session_id AS "sessionId" FROM download_token t JOIN client_config c ON c.session_id = t.session_id
WHERE t.hash = $1::bytea AND t.revoked_at IS NULL AND t.expires_at > $2::timestamptz AND t.downloads_left > 0
  AND c.expires_at IS NULL
