-- verify_provider_wireguard(now timestamptz) -> subject, identity, detail
-- The interface has a peer for each session in use, and none without a session, by the last reading of refresh; and it
-- is read. What is said of a peer is said of its key: the session tells whose it is.
SELECT coalesce('session/' || g.session_id, 'peer/' || g.client_public_key) AS subject,
       g.kind || ' ' || g.client_public_key AS identity,
       CASE g.kind
           WHEN 'missing' THEN format('%s since %s, and the interface had no peer %s at %s', g.status, g.since,
                                      g.client_public_key, g.read_at)
           WHEN 'wrong' THEN format('%s with %s, which its peer %s did not have at %s', g.status,
                                    g.client_ip_address, g.client_public_key, g.read_at)
           WHEN 'stray' THEN format('over since %s, and the interface had its peer %s at %s', g.since,
                                    g.client_public_key, g.read_at)
           ELSE format('the interface had a peer %s with our address %s at %s, and no session is known of it',
                       g.client_public_key, g.client_ip_address, g.read_at) END AS detail
FROM provider_gap g
WHERE g.driver = 'wireguard' AND g.read_at > $1::timestamptz - interval '5 minutes'
UNION ALL
SELECT 'interface/' || s.server_public_key, 'unread',
       format('%s sessions in use, and the interface was read %s', count(*),
              coalesce('last at ' || r.read_at, 'never'))
FROM sessions s LEFT JOIN provider_reading r ON r.server_public_key = s.server_public_key
WHERE s.driver = 'wireguard' AND s.status IN ('active', 'idle') AND s.server_public_key IS NOT NULL
  AND coalesce(r.read_at, s.activated_at) < $1::timestamptz - interval '5 minutes'
  AND EXISTS (SELECT FROM worker_instance w WHERE w.worker = 'refresh' AND w.seen_at > $1::timestamptz - interval '15 seconds'
              AND w.started_at < $1::timestamptz - interval '5 minutes')
GROUP BY s.server_public_key, r.read_at
LIMIT 100
