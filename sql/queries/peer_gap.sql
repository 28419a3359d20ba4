-- peer_gap(server text) -> kind text, session_id text, client_public_key text, client_ip_address text
-- Where the interface and the rows disagree; at most 500.
SELECT kind, session_id, client_public_key, client_ip_address FROM provider_gap WHERE server_public_key = $1::text
ORDER BY kind DESC, client_public_key LIMIT 500
