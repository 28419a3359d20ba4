-- user_add(id text[], tenant text[], email text[], display_name text[], auth_method text[], directory_object_id text[], allowed_source_ips text[], is_active boolean[], removing boolean[], removed boolean[], quota_max_concurrent_sessions int[], quota_max_sessions_per_day int[], total_sessions_created bigint[], sessions_today bigint[], today bigint[], last_session_at timestamptz[], created_at timestamptz[], updated_at timestamptz[], version bigint[], sequence bigint[], event_consumer text[], event_shard int[], event_seq bigint[], event_key text[])
-- Users that were not there when the batch was read; one that is there by now: unique_violation.
INSERT INTO users (id, tenant, email, display_name, auth_method, directory_object_id, allowed_source_ips, is_active,
    removing, removed, quota_max_concurrent_sessions, quota_max_sessions_per_day, total_sessions_created,
    sessions_today, today, last_session_at, created_at, updated_at, version, sequence, event_consumer, event_shard,
    event_seq, event_key)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]),
    unnest($6::text[]), unnest($7::text[])::jsonb, unnest($8::boolean[]), unnest($9::boolean[]),
    unnest($10::boolean[]), unnest($11::int[]), unnest($12::int[]), unnest($13::bigint[]), unnest($14::bigint[]),
    unnest($15::bigint[]), unnest($16::timestamptz[]), unnest($17::timestamptz[]), unnest($18::timestamptz[]),
    unnest($19::bigint[]), unnest($20::bigint[]), unnest($21::text[]), unnest($22::int[]), unnest($23::bigint[]),
    unnest($24::text[])
