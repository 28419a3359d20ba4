-- session_peers(shard int, driver text) -> client_public_key text, client_ip_address text
SELECT client_public_key, client_ip_address FROM sessions
WHERE shard = $1 AND driver = $2 AND status IN ('active', 'idle') AND client_public_key IS NOT NULL
ORDER BY id
