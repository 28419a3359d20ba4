-- user_change(id text[], tenant text[], email text[], display_name text[], auth_method text[], directory_object_id text[], allowed_source_ips text[], is_active boolean[], removing boolean[], removed boolean[], quota_max_concurrent_sessions int[], quota_max_sessions_per_day int[], total_sessions_created bigint[], sessions_today bigint[], today bigint[], last_session_at timestamptz[], created_at timestamptz[], updated_at timestamptz[], version bigint[], sequence bigint[], event_consumer text[], event_shard int[], event_seq bigint[], place tid[], rows bigint) -> guard void
-- A column that comes as NULL instead of its values stays as it is. Rows come in the order of their ids, which is that of
-- the locks, and are looked for where they were read: one that has moved since has another version.
WITH changed AS (
    UPDATE users u SET tenant = coalesce(w.tenant, u.tenant), email = CASE WHEN $3 IS NULL THEN u.email ELSE w.email END,
        display_name = CASE WHEN $4 IS NULL THEN u.display_name ELSE w.display_name END,
        auth_method = coalesce(w.auth_method, u.auth_method),
        directory_object_id = CASE WHEN $6 IS NULL THEN u.directory_object_id ELSE w.directory_object_id END,
        allowed_source_ips = CASE WHEN $7 IS NULL THEN u.allowed_source_ips ELSE w.allowed_source_ips END,
        is_active = coalesce(w.is_active, u.is_active), removing = coalesce(w.removing, u.removing),
        removed = coalesce(w.removed, u.removed),
        quota_max_concurrent_sessions = coalesce(w.quota_max_concurrent_sessions, u.quota_max_concurrent_sessions),
        quota_max_sessions_per_day = coalesce(w.quota_max_sessions_per_day, u.quota_max_sessions_per_day),
        total_sessions_created = coalesce(w.total_sessions_created, u.total_sessions_created),
        sessions_today = coalesce(w.sessions_today, u.sessions_today), today = coalesce(w.today, u.today),
        last_session_at = CASE WHEN $16 IS NULL THEN u.last_session_at ELSE w.last_session_at END,
        created_at = coalesce(w.created_at, u.created_at), updated_at = w.updated_at, version = w.version,
        sequence = w.sequence, event_consumer = w.event_consumer, event_shard = w.event_shard, event_seq = w.event_seq
    FROM (SELECT unnest($1::text[]) AS id, unnest($2::text[]) AS tenant, unnest($3::text[]) AS email,
        unnest($4::text[]) AS display_name, unnest($5::text[]) AS auth_method,
        unnest($6::text[]) AS directory_object_id, unnest($7::text[])::jsonb AS allowed_source_ips,
        unnest($8::boolean[]) AS is_active, unnest($9::boolean[]) AS removing, unnest($10::boolean[]) AS removed,
        unnest($11::int[]) AS quota_max_concurrent_sessions, unnest($12::int[]) AS quota_max_sessions_per_day,
        unnest($13::bigint[]) AS total_sessions_created, unnest($14::bigint[]) AS sessions_today,
        unnest($15::bigint[]) AS today, unnest($16::timestamptz[]) AS last_session_at,
        unnest($17::timestamptz[]) AS created_at, unnest($18::timestamptz[]) AS updated_at,
        unnest($19::bigint[]) AS version, unnest($20::bigint[]) AS sequence, unnest($21::text[]) AS event_consumer,
        unnest($22::int[]) AS event_shard, unnest($23::bigint[]) AS event_seq,
        unnest($24::tid[]) AS place) w
    WHERE u.ctid = w.place AND u.id = w.id AND u.version = w.version - 1
    RETURNING 1)
SELECT guard((SELECT count(*) FROM changed), $25, 'DB002', 'users')
