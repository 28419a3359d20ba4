-- token_lock(id text[], owner text[], name text[]) -> the columns of personal_access_token, in the order of store/token_rows.c
-- The tokens named by id, and those not revoked of the owners and names given, pair by pair.
SELECT t.id::text, t.owner, t.shard, t.name, t.description, t.status, t.prefix, t.created_by, t.created_at, t.updated_at,
       t.rotated_at, t.expires_at, t.revoked_at, t.revision,
       (SELECT string_agg(c.scope, ' ' ORDER BY c.pos) FROM token_scope c WHERE c.token_id = t.id) AS scopes,
       t.version, t.sequence, t.event_consumer, t.event_shard, t.event_seq, t.event_key
FROM personal_access_token t
WHERE t.id IN (
    SELECT unnest($1::text[]::uuid[])
    UNION SELECT n.id FROM unnest($2::text[], $3::text[]) AS w (owner, name)
    JOIN personal_access_token n ON n.owner = w.owner AND n.name = w.name AND n.status <> 'revoked')
ORDER BY t.id FOR UPDATE OF t
