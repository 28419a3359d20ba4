-- user_change(id text[], tenant text[], email text[], display_name text[], auth_method text[], directory_object_id text[], allowed_source_ips text[], is_active boolean[], removing boolean[], removed boolean[], quota_max_concurrent_sessions int[], quota_max_sessions_per_day int[], total_sessions_created bigint[], sessions_today bigint[], today bigint[], last_session_at timestamptz[], created_at timestamptz[], updated_at timestamptz[], version bigint[], sequence bigint[], event_consumer text[], event_shard int[], event_seq bigint[], rows bigint) -> guard void
WITH changed AS (
    UPDATE users u SET tenant = w.tenant, email = w.email, display_name = w.display_name, auth_method = w.auth_method,
        directory_object_id = w.directory_object_id,
        allowed_source_ips = w.allowed_source_ips, is_active = w.is_active, removing = w.removing,
        removed = w.removed, quota_max_concurrent_sessions = w.quota_max_concurrent_sessions,
        quota_max_sessions_per_day = w.quota_max_sessions_per_day, total_sessions_created = w.total_sessions_created,
        sessions_today = w.sessions_today, today = w.today, last_session_at = w.last_session_at,
        created_at = w.created_at, updated_at = w.updated_at, version = w.version, sequence = w.sequence,
        event_consumer = w.event_consumer, event_shard = w.event_shard, event_seq = w.event_seq
    FROM (SELECT unnest($1::text[]) AS id, unnest($2::text[]) AS tenant, unnest($3::text[]) AS email,
        unnest($4::text[]) AS display_name, unnest($5::text[]) AS auth_method,
        unnest($6::text[]) AS directory_object_id, unnest($7::text[])::jsonb AS allowed_source_ips,
        unnest($8::boolean[]) AS is_active, unnest($9::boolean[]) AS removing, unnest($10::boolean[]) AS removed,
        unnest($11::int[]) AS quota_max_concurrent_sessions, unnest($12::int[]) AS quota_max_sessions_per_day,
        unnest($13::bigint[]) AS total_sessions_created, unnest($14::bigint[]) AS sessions_today,
        unnest($15::bigint[]) AS today, unnest($16::timestamptz[]) AS last_session_at,
        unnest($17::timestamptz[]) AS created_at, unnest($18::timestamptz[]) AS updated_at,
        unnest($19::bigint[]) AS version, unnest($20::bigint[]) AS sequence, unnest($21::text[]) AS event_consumer,
        unnest($22::int[]) AS event_shard, unnest($23::bigint[]) AS event_seq
        ORDER BY 1) w
    WHERE u.id = w.id AND u.version = w.version - 1
    RETURNING 1)
SELECT guard((SELECT count(*) FROM changed), $24, 'DB002', 'users')
