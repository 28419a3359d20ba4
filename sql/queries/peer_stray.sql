-- peer_stray(key text[], before timestamptz) -> session_id text, driver text, client_public_key text, client_ip_address text
-- Of the peers that an interface has, those whose session ended before then, and that no other session has: a
-- client may use a key of its own again.
SELECT DISTINCT ON (c.client_public_key) s.id AS session_id, s.driver, c.client_public_key, c.client_ip_address
FROM unnest($1::text[]) AS k (key)
JOIN client_config c ON c.client_public_key = k.key
JOIN sessions s ON s.id = c.session_id
WHERE s.status = 'terminated' AND s.terminated_at < $2::timestamptz
  AND NOT EXISTS (SELECT FROM client_config o JOIN sessions l ON l.id = o.session_id
                  WHERE o.client_public_key = k.key AND l.status <> 'terminated')
ORDER BY c.client_public_key, s.terminated_at DESC
