-- peer_wanted(driver text, server text, key text[]) -> client_public_key text, client_ip_address text
-- Of these keys, those that a session has: one that begins has it before its peer is made.
SELECT client_public_key, client_ip_address FROM sessions
WHERE client_public_key = ANY ($3::text[]) AND driver = $1::text AND client_ip_address IS NOT NULL
  AND status IN ('provisioning', 'active', 'idle') AND NOT cancelling
  AND coalesce(server_public_key, $2::text) = $2::text
