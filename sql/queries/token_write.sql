-- token_write(id text[], owner text[], shard int[], name text[], description text[], status text[], prefix text[], created_by text[], created_at timestamptz[], updated_at timestamptz[], rotated_at timestamptz[], expires_at timestamptz[], revoked_at timestamptz[], revision bigint[], version bigint[], sequence bigint[], event_consumer text[], event_shard int[], event_seq bigint[], event_key text[], rows bigint) -> guard void
WITH w AS (
    SELECT * FROM unnest($1::text[]::uuid[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[],
        $14::bigint[], $15::bigint[], $16::bigint[], $17::text[], $18::int[], $19::bigint[], $20::text[])
        AS w (id, owner, shard, name, description, status, prefix, created_by, created, updated, rotated, expires,
              revoked, revision, version, sequence, ec, es, eq, ek)),
made AS (
    INSERT INTO personal_access_token (id, owner, shard, name, description, status, prefix, created_by, created_at,
        updated_at, rotated_at, expires_at, revoked_at, revision, version, sequence, event_consumer, event_shard,
        event_seq, event_key)
    SELECT w.id, w.owner, w.shard, w.name, w.description, w.status, w.prefix, w.created_by, w.created, w.updated,
        w.rotated, w.expires, w.revoked, w.revision, w.version, w.sequence, w.ec, w.es, w.eq, w.ek
    FROM w WHERE w.version = 1 ORDER BY w.id
    RETURNING 1),
changed AS (
    UPDATE personal_access_token t SET name = w.name, description = w.description, status = w.status,
        updated_at = w.updated, rotated_at = w.rotated, expires_at = w.expires, revoked_at = w.revoked,
        revision = w.revision, version = w.version, sequence = w.sequence, event_consumer = w.ec, event_shard = w.es,
        event_seq = w.eq
    FROM w WHERE t.id = w.id AND t.version = w.version - 1 AND w.version > 1
    RETURNING 1)
SELECT guard((SELECT count(*) FROM made) + (SELECT count(*) FROM changed), $21, 'DB002', 'tokens')
