-- session_lock(id text[], user_id text[], client_public_key text[]) -> the columns of sessions, in the order of store/session_rows.c
-- The sessions named, and all that are not terminated of the users
-- named or hold one of the keys.
SELECT id, user_id, shard, status, reason, cancelling, tombstone, driver, profile, provider_instance_id,
       public_ip_address, vpn_port, server_endpoint, server_public_key, client_public_key,
       client_ip_address, allowed_ips, dns_servers, created_at, activated_at, last_activity_at,
       terminating_at, terminated_at, idle_timeout_minutes, provision_attempts, error_code, error_message,
       rx_bytes, tx_bytes, rx_mark, rx_mark_at, stop_command::text, start_digest, version, sequence,
       event_consumer, event_shard, event_seq, event_key
FROM sessions WHERE id = ANY ($1) OR (user_id = ANY ($2) AND status <> 'terminated')
    OR (client_public_key = ANY ($3) AND status <> 'terminated') ORDER BY id FOR UPDATE
