-- user_write(id text[], tenant text[], email text[], display_name text[], auth_method text[], api_key_hash text[], directory_object_id text[], allowed_source_ips text[], is_active boolean[], removing boolean[], removed boolean[], quota_max_concurrent_sessions int[], quota_max_sessions_per_day int[], total_sessions_created bigint[], sessions_today bigint[], today bigint[], last_session_at timestamptz[], created_at timestamptz[], updated_at timestamptz[], version bigint[], sequence bigint[], event_consumer text[], event_shard int[], event_seq bigint[], rows bigint) -> guard void
WITH written AS (
    INSERT INTO users AS u (id, tenant, email, display_name, auth_method, api_key_hash, directory_object_id,
        allowed_source_ips, is_active, removing, removed, quota_max_concurrent_sessions, quota_max_sessions_per_day,
        total_sessions_created, sessions_today, today, last_session_at, created_at, updated_at, version, sequence,
        event_consumer, event_shard, event_seq)
    SELECT w.id, w.tenant, w.email, w.display_name, w.auth_method, w.api_key_hash, w.directory_object_id, w.ips::jsonb,
        w.is_active, w.removing, w.removed, w.qc, w.qd, w.total, w.st, w.today, w.last, w.created, w.updated, w.version,
        w.sequence, w.ec, w.es, w.eq
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
        $9::boolean[], $10::boolean[], $11::boolean[], $12::int[], $13::int[], $14::bigint[], $15::bigint[],
        $16::bigint[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::bigint[], $21::bigint[],
        $22::text[], $23::int[], $24::bigint[])
        AS w (id, tenant, email, display_name, auth_method, api_key_hash, directory_object_id, ips, is_active, removing,
              removed, qc, qd, total, st, today, last, created, updated, version, sequence, ec, es, eq)
    ORDER BY w.id
    ON CONFLICT (id) DO UPDATE SET tenant = excluded.tenant, email = excluded.email,
        display_name = excluded.display_name, auth_method = excluded.auth_method, api_key_hash = excluded.api_key_hash,
        directory_object_id = excluded.directory_object_id, allowed_source_ips = excluded.allowed_source_ips,
        is_active = excluded.is_active, removing = excluded.removing, removed = excluded.removed,
        quota_max_concurrent_sessions = excluded.quota_max_concurrent_sessions,
        quota_max_sessions_per_day = excluded.quota_max_sessions_per_day,
        total_sessions_created = excluded.total_sessions_created, sessions_today = excluded.sessions_today,
        today = excluded.today, last_session_at = excluded.last_session_at, created_at = excluded.created_at,
        updated_at = excluded.updated_at, version = excluded.version, sequence = excluded.sequence,
        event_consumer = excluded.event_consumer, event_shard = excluded.event_shard, event_seq = excluded.event_seq
    WHERE u.version = excluded.version - 1
    RETURNING 1)
SELECT guard((SELECT count(*) FROM written), $25, 'DB002', 'users')
