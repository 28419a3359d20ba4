-- audit_readers_over(reader bigint[], token uuid[], owner text[], began timestamptz[], now timestamptz) -> reader bigint, why text
-- Of those who follow the trail, each who may not any more. token null: the owner's API key.
SELECT w.reader,
       CASE WHEN NOT coalesce(u.is_active AND NOT u.removed AND NOT u.removing, w.token IS NOT NULL) THEN 'owner'
            WHEN w.token IS NULL OR NOT EXISTS (
                SELECT FROM token_scope c WHERE c.token_id = w.token AND c.scope IN ('audit:read', 'audit:*', 'admin'))
                THEN 'scope'
            WHEN t.status = 'active' AND t.expires_at <= $5::timestamptz THEN 'expired'
            WHEN t.status = 'active' THEN 'rotated'
            ELSE coalesce(t.status, 'revoked') END
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::timestamptz[]) AS w (reader, token, owner, began)
LEFT JOIN personal_access_token t ON t.id = w.token
LEFT JOIN users u ON u.id = w.owner
WHERE NOT coalesce(
    coalesce(u.is_active AND NOT u.removed AND NOT u.removing, true)
    AND t.status = 'active' AND (t.expires_at IS NULL OR t.expires_at > $5::timestamptz)
    AND EXISTS (SELECT FROM token_scope c WHERE c.token_id = w.token AND c.scope IN ('audit:read', 'audit:*', 'admin'))
    AND (t.rotated_at IS NULL OR t.rotated_at <= w.began
         OR EXISTS (SELECT FROM token_secret s
                    WHERE s.token_id = w.token AND s.state = 'previous' AND s.valid_until > $5::timestamptz)), false)
