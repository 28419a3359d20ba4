-- token_show(id uuid) -> one row, everything about a token but its secrets
SELECT t.id AS "tokenId", t.owner, t.name, t.description, t.status, t.prefix,
       (SELECT coalesce(jsonb_agg(c.scope ORDER BY c.pos), '[]') FROM token_scope c WHERE c.token_id = t.id) AS scopes,
       t.revision, t.created_by AS "createdBy", t.created_at AS "createdAt", t.updated_at AS "updatedAt",
       t.expires_at AS "expiresAt", t.rotated_at AS "rotatedAt", t.revoked_at AS "revokedAt",
       t.last_used_at AS "lastUsedAt", t.last_used_ip AS "lastUsedIp",
       (SELECT s.valid_until FROM token_secret s WHERE s.token_id = t.id AND s.state = 'previous') AS "previousUntil"
FROM personal_access_token t WHERE t.id = $1::uuid
