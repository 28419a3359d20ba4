-- token_due(shard int[], most int) -> id text, owner text, shard int, expires_at timestamptz, version bigint
-- The tokens that expire next, of the shards named.
SELECT id::text, owner, shard, expires_at, version FROM personal_access_token
WHERE shard = ANY ($1::int[]) AND status = 'active' AND expires_at IS NOT NULL
ORDER BY expires_at LIMIT $2::int
