-- download_token_use(hash bytea, now timestamptz) -> session_id text, downloads_left int
-- One download is taken by compare-and-set; over, revoked and used-up tokens give no row.
UPDATE download_token t SET downloads_left = t.downloads_left - 1
FROM client_config c
WHERE t.hash = $1::bytea AND t.revoked_at IS NULL AND t.expires_at > $2::timestamptz AND t.downloads_left > 0
  AND c.session_id = t.session_id AND c.expires_at IS NULL
RETURNING t.session_id AS "sessionId", t.downloads_left AS "downloadsLeft"
