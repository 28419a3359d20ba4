-- token_check_key(sha256 bytea, hmacs bytea[]) -> the columns of token_check, for the API key of a user
-- A key has no id in it: it is found by its hash, of an older system or under one of our peppers (T-12).
-- Two rows: two users have it, and it says nothing about who asks.
SELECT NULL::uuid AS id, u.id AS owner, 'api-key' AS name, 'active' AS status, NULL::timestamptz AS expires_at,
       NULL::text AS scopes, true AS "ownerIsUser", u.is_active AND NOT u.removed AND NOT u.removing AS "ownerActive",
       u.tenant, u.allowed_source_ips::text AS "allowedSourceIPs",
       s.id AS "secretId", s.hmac, s.pepper, s.argon2id, s.legacy_sha256 AS "legacySha256",
       s.valid_until AS "validUntil", s.checked_at AS "checkedAt"
FROM token_secret s JOIN users u ON u.id = s.user_id
WHERE s.user_id IS NOT NULL AND s.state = 'current'
  AND (s.legacy_sha256 = $1::bytea OR s.hmac = ANY ($2::bytea[]))
LIMIT 2
