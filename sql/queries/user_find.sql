-- user_find(id text[]) -> the columns of users, in the order of store/user_rows.c
SELECT id, tenant, email, display_name, auth_method, directory_object_id,
       allowed_source_ips::text, is_active, removing, removed, quota_max_concurrent_sessions,
       quota_max_sessions_per_day, total_sessions_created, sessions_today, today, last_session_at,
       created_at, updated_at, version, sequence, event_consumer, event_shard, event_seq, event_key, ctid
FROM users WHERE id = ANY ($1)
