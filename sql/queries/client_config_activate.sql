-- client_config_activate(session_id text[], server_public_key text[], server_endpoint text[])
UPDATE client_config c SET server_public_key = w.key, server_endpoint = w.endpoint
FROM unnest($1::text[], $2::text[], $3::text[]) AS w (session_id, key, endpoint) WHERE c.session_id = w.session_id
