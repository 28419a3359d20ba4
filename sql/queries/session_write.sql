-- session_write(id text[], user_id text[], shard int[], status text[], reason text[], cancelling boolean[], tombstone boolean[], driver text[], profile text[], provider_instance_id text[], public_ip_address text[], vpn_port int[], server_endpoint text[], server_public_key text[], client_public_key text[], client_ip_address text[], allowed_ips text[], dns_servers text[], created_at timestamptz[], activated_at timestamptz[], last_activity_at timestamptz[], idle_at timestamptz[], terminating_at timestamptz[], terminated_at timestamptz[], idle_timeout_minutes int[], provision_attempts int[], error_code text[], error_message text[], rx_bytes bigint[], tx_bytes bigint[], rx_mark bigint[], rx_mark_at timestamptz[], stop_command text[], start_digest bytea[], version bigint[], sequence bigint[], event_consumer text[], event_shard int[], event_seq bigint[], event_key text[], rows bigint) -> guard void
WITH w AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::boolean[], $7::boolean[],
        $8::text[], $9::text[], $10::text[], $11::text[], $12::int[], $13::text[], $14::text[], $15::text[],
        $16::text[], $17::text[], $18::text[], $19::timestamptz[], $20::timestamptz[], $21::timestamptz[],
        $22::timestamptz[], $23::timestamptz[], $24::timestamptz[], $25::int[], $26::int[], $27::text[], $28::text[],
        $29::bigint[], $30::bigint[], $31::bigint[], $32::timestamptz[], $33::text[], $34::bytea[], $35::bigint[],
        $36::bigint[], $37::text[], $38::int[], $39::bigint[], $40::text[])
        AS w (id, user_id, shard, status, reason, cancelling, tombstone, driver, profile, instance, ip, port, endpoint,
              server_key, client_key, address, allowed, dns, created, activated, activity, idle_at, terminating,
              terminated, idle_minutes, attempts, error_code, error_message, rx, tx, mark, mark_at, stop, start, version,
              sequence, ec, es, eq, ek)),
made AS (
    INSERT INTO sessions (id, user_id, shard, status, reason, cancelling, tombstone, driver, profile,
        provider_instance_id, public_ip_address, vpn_port, server_endpoint, server_public_key, client_public_key,
        client_ip_address, allowed_ips, dns_servers, created_at, activated_at, last_activity_at, idle_at,
        terminating_at, terminated_at, idle_timeout_minutes, provision_attempts, error_code, error_message, rx_bytes,
        tx_bytes, rx_mark, rx_mark_at, stop_command, start_digest, version, sequence, event_consumer, event_shard,
        event_seq, event_key)
    SELECT w.id, w.user_id, w.shard, w.status, w.reason, w.cancelling, w.tombstone, w.driver, w.profile, w.instance,
        w.ip, w.port, w.endpoint, w.server_key, w.client_key, w.address, w.allowed, w.dns, w.created, w.activated,
        w.activity, w.idle_at, w.terminating, w.terminated, w.idle_minutes, w.attempts, w.error_code, w.error_message,
        w.rx, w.tx, w.mark, w.mark_at, w.stop::jsonb, w.start, w.version, w.sequence, w.ec, w.es, w.eq, w.ek
    FROM w WHERE w.version = 1 ORDER BY w.id
    RETURNING 1),
changed AS (
    UPDATE sessions s SET status = w.status, reason = w.reason, cancelling = w.cancelling, driver = w.driver,
        profile = w.profile, allowed_ips = w.allowed, dns_servers = w.dns, created_at = w.created,
        idle_timeout_minutes = w.idle_minutes, start_digest = w.start,
        provider_instance_id = w.instance, public_ip_address = w.ip, vpn_port = w.port, server_endpoint = w.endpoint,
        server_public_key = w.server_key, client_public_key = w.client_key, client_ip_address = w.address,
        activated_at = w.activated, last_activity_at = w.activity, idle_at = w.idle_at,
        terminating_at = w.terminating, terminated_at = w.terminated, provision_attempts = w.attempts,
        error_code = w.error_code, error_message = w.error_message, rx_bytes = w.rx, tx_bytes = w.tx, rx_mark = w.mark,
        rx_mark_at = w.mark_at, stop_command = w.stop::jsonb, version = w.version, sequence = w.sequence,
        event_consumer = w.ec, event_shard = w.es, event_seq = w.eq
    FROM w WHERE s.id = w.id AND s.version = w.version - 1 AND w.version > 1
    RETURNING 1)
SELECT guard((SELECT count(*) FROM made) + (SELECT count(*) FROM changed), $41, 'DB002', 'sessions')
