-- token_check(id uuid) -> the columns of store/token_check.c, a row for each secret of the token
-- Everything that says whether a token is good, in one look-up by its id (T-04).
SELECT t.id, t.owner, t.name, t.status, t.expires_at,
       (SELECT string_agg(c.scope, ' ' ORDER BY c.pos) FROM token_scope c WHERE c.token_id = t.id) AS scopes,
       u.id IS NOT NULL AS "ownerIsUser", coalesce(u.is_active AND NOT u.removed AND NOT u.removing, true) AS "ownerActive",
       u.tenant, u.allowed_source_ips::text AS "allowedSourceIPs",
       s.id AS "secretId", s.hmac, s.pepper, s.argon2id, s.legacy_sha256 AS "legacySha256",
       s.valid_until AS "validUntil", s.checked_at AS "checkedAt"
FROM personal_access_token t
LEFT JOIN users u ON u.id = t.owner
LEFT JOIN token_secret s ON s.token_id = t.id AND s.state <> 'new'
WHERE t.id = $1::uuid
ORDER BY s.state
