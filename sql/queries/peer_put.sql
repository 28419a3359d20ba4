-- peer_put(driver text, server text, pool text, at timestamptz, key text[], allowed text[], rx bigint[], tx bigint[], handshake timestamptz[])
-- All that an interface has, at one moment; only what is not as it was is written.
WITH k AS (
    SELECT key, string_to_array(allowed, ',')::inet[] AS allowed, rx, tx, handshake
    FROM unnest($5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::timestamptz[])
         AS k (key, allowed, rx, tx, handshake)),
gone AS (
    DELETE FROM provider_peer p
    WHERE p.server_public_key = $2 AND NOT EXISTS (SELECT FROM k WHERE k.key = p.client_public_key)),
there AS (
    INSERT INTO provider_peer AS p
        (server_public_key, client_public_key, allowed_ips, rx_bytes, tx_bytes, handshake_at)
    SELECT $2::text, key, allowed, rx, tx, handshake FROM k ORDER BY key
    ON CONFLICT (client_public_key, server_public_key) DO UPDATE
    SET allowed_ips = excluded.allowed_ips, rx_bytes = excluded.rx_bytes, tx_bytes = excluded.tx_bytes,
        handshake_at = excluded.handshake_at
    WHERE (p.allowed_ips, p.rx_bytes, p.tx_bytes, p.handshake_at)
          IS DISTINCT FROM (excluded.allowed_ips, excluded.rx_bytes, excluded.tx_bytes, excluded.handshake_at))
INSERT INTO provider_reading (server_public_key, driver, pool, read_at)
VALUES ($2::text, $1::text, $3::text, $4::timestamptz)
ON CONFLICT (server_public_key) DO UPDATE
SET driver = excluded.driver, pool = excluded.pool, read_at = excluded.read_at
