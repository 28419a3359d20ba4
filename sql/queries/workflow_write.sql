-- workflow_write(id text[], shard int[], disabled boolean[], reason text[], disabled_by text[], related_connection text[], disabled_at timestamptz[], created_at timestamptz[], updated_at timestamptz[], revision bigint[], version bigint[], sequence bigint[], event_consumer text[], event_shard int[], event_seq bigint[], event_key text[], rows bigint) -> guard void
WITH w AS (
    SELECT * FROM unnest($1::text[], $2::int[], $3::boolean[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
        $8::timestamptz[], $9::timestamptz[], $10::bigint[], $11::bigint[], $12::bigint[], $13::text[], $14::int[],
        $15::bigint[], $16::text[])
        AS w (id, shard, disabled, reason, by, connection, disabled_at, created, updated, revision, version, sequence,
              ec, es, eq, ek)),
made AS (
    INSERT INTO workflow (id, shard, disabled, reason, disabled_by, related_connection, disabled_at, created_at,
        updated_at, revision, version, sequence, event_consumer, event_shard, event_seq, event_key)
    SELECT w.id, w.shard, w.disabled, w.reason, w.by, w.connection, w.disabled_at, w.created, w.updated, w.revision,
        w.version, w.sequence, w.ec, w.es, w.eq, w.ek
    FROM w WHERE w.version = 1 ORDER BY w.id
    RETURNING 1),
changed AS (
    UPDATE workflow f SET disabled = w.disabled, reason = w.reason, disabled_by = w.by,
        related_connection = w.connection, disabled_at = w.disabled_at, updated_at = w.updated, revision = w.revision,
        version = w.version, sequence = w.sequence, event_consumer = w.ec, event_shard = w.es, event_seq = w.eq
    FROM w WHERE f.id = w.id AND f.version = w.version - 1 AND w.version > 1
    RETURNING 1)
SELECT guard((SELECT count(*) FROM made) + (SELECT count(*) FROM changed), $17, 'DB002', 'workflows')
