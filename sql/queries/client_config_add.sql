-- client_config_add(session_id text[], user_id text[], client_public_key text[], client_private_key bytea[], client_ip_address text[], allowed_ips text[], dns_servers text[], keepalive int[], created_at timestamptz[])
INSERT INTO client_config (config_id, session_id, user_id, client_public_key, client_private_key, client_ip_address,
                           allowed_ips, dns_servers, keepalive, created_at)
SELECT w.session_id, * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[],
                                   $8::int[], $9::timestamptz[])
    AS w (session_id, user_id, public, private, ip, allowed, dns, keepalive, created)
ON CONFLICT (session_id) DO UPDATE SET -- of a session that begins anew (ADR 0012)
    client_public_key = excluded.client_public_key, client_private_key = excluded.client_private_key,
    client_ip_address = excluded.client_ip_address, server_public_key = NULL, server_endpoint = NULL,
    allowed_ips = excluded.allowed_ips, dns_servers = excluded.dns_servers, keepalive = excluded.keepalive,
    created_at = excluded.created_at, expires_at = NULL
