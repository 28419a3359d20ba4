-- client_config_add(session_id text[], user_id text[], client_public_key text[], client_private_key bytea[], client_ip_address text[], allowed_ips text[], dns_servers text[], keepalive int[], created_at timestamptz[])
INSERT INTO client_config (config_id, session_id, user_id, client_public_key, client_private_key, client_ip_address,
                           allowed_ips, dns_servers, keepalive, created_at)
SELECT w.session_id, * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::text[],
                                   $8::int[], $9::timestamptz[])
    AS w (session_id, user_id, public, private, ip, allowed, dns, keepalive, created)
