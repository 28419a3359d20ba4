-- token_list(owner text, status text, most int, cursor uuid) -> tokens, newest first, without their secrets
-- owner, status: null for any. cursor: the tokenId that the last page ended with.
SELECT t.id AS "tokenId", t.owner, t.name, t.description, t.status, t.prefix,
       (SELECT coalesce(jsonb_agg(c.scope ORDER BY c.pos), '[]') FROM token_scope c WHERE c.token_id = t.id) AS scopes,
       t.revision, t.created_by AS "createdBy", t.created_at AS "createdAt", t.updated_at AS "updatedAt",
       t.expires_at AS "expiresAt", t.rotated_at AS "rotatedAt", t.revoked_at AS "revokedAt",
       t.last_used_at AS "lastUsedAt", t.last_used_ip AS "lastUsedIp"
FROM personal_access_token t
WHERE ($1::text IS NULL OR t.owner = $1) AND ($2::text IS NULL OR t.status = $2)
  AND ($4::uuid IS NULL OR (t.created_at, t.id) <
       (SELECT c.created_at, c.id FROM personal_access_token c WHERE c.id = $4))
ORDER BY t.created_at DESC, t.id DESC LIMIT $3::int
