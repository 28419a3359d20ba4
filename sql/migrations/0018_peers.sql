-- What the WireGuard interfaces were last seen to have (V-16, V-23): refresh writes it down whenever it reads their
-- counters. An interface is known by its public key, which its sessions' rows have too.
CREATE TABLE provider_reading (
    server_public_key text PRIMARY KEY,
    driver    text        NOT NULL,
    pool      text        NOT NULL, -- where our clients' addresses come from
    read_at   timestamptz NOT NULL  -- asked for; what came later may be in it
);
CREATE TABLE provider_peer (
    server_public_key text   NOT NULL,
    client_public_key text   NOT NULL,
    allowed_ips       inet[] NOT NULL,
    rx_bytes          bigint NOT NULL,
    tx_bytes          bigint NOT NULL,
    handshake_at      timestamptz, -- null: never
    PRIMARY KEY (client_public_key, server_public_key)
) WITH (fillfactor = 70);
GRANT SELECT, INSERT, UPDATE, DELETE ON provider_reading, provider_peer TO drawbridge_worker;
GRANT SELECT ON provider_reading, provider_peer TO drawbridge_gateway, drawbridge_reader;

-- Where the last reading and the rows disagree. A peer is made before its session is active, and removed before the
-- session is over: what was so for a while when the reading was asked for is no coincidence.
CREATE VIEW provider_gap AS
SELECT CASE WHEN p.client_public_key IS NULL THEN 'missing' ELSE 'wrong' END AS kind, r.driver, r.server_public_key,
       r.read_at, s.id AS session_id, s.client_public_key, s.client_ip_address, s.status, s.activated_at AS since
FROM provider_reading r
JOIN sessions s ON s.server_public_key = r.server_public_key AND s.driver = r.driver
LEFT JOIN provider_peer p
    ON p.client_public_key = s.client_public_key AND p.server_public_key = r.server_public_key
WHERE s.status IN ('active', 'idle') AND s.client_public_key IS NOT NULL
  AND s.activated_at < r.read_at - interval '5 seconds'
  AND (p.client_public_key IS NULL OR s.client_ip_address::inet <> ALL (p.allowed_ips))
UNION ALL
-- Its session is over, or is another interface's; or none is known, and it has an address that is ours to give.
SELECT CASE WHEN o.id IS NULL THEN 'foreign' ELSE 'stray' END, r.driver, r.server_public_key, r.read_at, o.id,
       p.client_public_key, coalesce(o.client_ip_address, host(p.allowed_ips[1])), o.status, o.terminated_at
FROM provider_reading r
JOIN provider_peer p USING (server_public_key)
LEFT JOIN LATERAL (
    SELECT s.id, s.status, s.terminated_at, c.client_ip_address FROM client_config c JOIN sessions s ON s.id = c.session_id
    WHERE c.client_public_key = p.client_public_key ORDER BY s.terminated_at DESC NULLS FIRST LIMIT 1) o ON true
WHERE NOT EXISTS (SELECT FROM sessions l WHERE l.client_public_key = p.client_public_key AND l.status <> 'terminated')
  AND CASE WHEN o.id IS NULL THEN p.allowed_ips[1] << r.pool::cidr
           ELSE o.terminated_at < r.read_at - interval '20 seconds' END;
-- A view reads with its owner's rights: of client_config it tells keys and addresses of peers alone.
REVOKE ALL ON provider_gap FROM PUBLIC;
GRANT SELECT ON provider_gap TO drawbridge_worker, drawbridge_gateway, drawbridge_reader;
CREATE INDEX sessions_server ON sessions (server_public_key) WHERE status IN ('active', 'idle');
