-- session_watch(shard int[]) -> id text, user_id text, shard int, driver text, client_public_key text, idle_at timestamptz, last_activity_at timestamptz, idle_timeout_minutes int, rx_bytes bigint, tx_bytes bigint, rx_mark bigint, rx_mark_at timestamptz, version bigint
-- The sessions that can fall idle, of the shards named.
SELECT id, user_id, shard, driver, client_public_key, idle_at, last_activity_at, idle_timeout_minutes, rx_bytes,
       tx_bytes, rx_mark, rx_mark_at, version
FROM sessions WHERE shard = ANY ($1) AND idle_at IS NOT NULL
