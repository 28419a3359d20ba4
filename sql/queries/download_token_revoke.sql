-- download_token_revoke(session_id text, now timestamptz) -> revoked bigint
WITH gone AS (
    UPDATE download_token SET revoked_at = $2::timestamptz
    WHERE session_id = $1::text AND revoked_at IS NULL AND expires_at > $2::timestamptz RETURNING 1)
SELECT count(*) AS "revoked" FROM gone
