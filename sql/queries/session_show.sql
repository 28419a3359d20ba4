-- session_show(id text) -> one row: status, server, client, bytes, times (V-16)
-- Clients and bytes are what refresh last saw on the interface (observedAt); where nothing is read, what the row kept.
SELECT s.id AS "sessionId", user_id AS "userId", status, reason, cancelling, s.driver, profile,
       provider_instance_id AS "providerInstanceId", public_ip_address AS "publicIpAddress",
       vpn_port AS "vpnPort", server_endpoint AS "serverEndpoint",
       s.server_public_key AS "serverPublicKey", s.client_public_key AS "clientPublicKey",
       client_ip_address AS "clientIpAddress", s.allowed_ips AS "allowedIPs",
       dns_servers AS "dnsServers", coalesce(p.rx_bytes, s.rx_bytes) AS "bytesReceived",
       coalesce(p.tx_bytes, s.tx_bytes) AS "bytesSent",
       idle_timeout_minutes AS "idleTimeoutMinutes", provision_attempts AS "provisionAttempts",
       error_code AS "errorCode", error_message AS "errorMessage", created_at AS "createdAt",
       activated_at AS "activatedAt", last_activity_at AS "lastActivityAt",
       idle_at AS "idleTimeoutAt", terminating_at AS "terminatingAt",
       terminated_at AS "terminatedAt",
       CASE status WHEN 'provisioning' THEN 'starting' WHEN 'terminating' THEN 'stopping'
           WHEN 'terminated' THEN 'gone'
           ELSE CASE WHEN p.client_public_key IS NULL AND r.read_at > activated_at + interval '5 seconds'
                     THEN 'missing' ELSE 'up' END END AS health,
       -- A WireGuard client that said nothing for 180 s has no valid keys any more (REJECT_AFTER_TIME).
       ((status IN ('active', 'idle')
        AND coalesce(p.handshake_at,
                     CASE WHEN s.rx_bytes > 0 AND p.client_public_key IS NULL THEN last_activity_at END)
            > now() - interval '180 seconds') IS TRUE)::int AS "connectedClients",
       p.handshake_at AS "lastHandshakeAt", r.read_at AS "observedAt",
       (extract(epoch FROM coalesce(terminated_at, now()) - activated_at) * 1000)::bigint
           AS "uptimeMs",
       version, sequence
FROM sessions s
LEFT JOIN provider_reading r ON r.server_public_key = s.server_public_key AND s.status IN ('active', 'idle')
LEFT JOIN provider_peer p
    ON p.client_public_key = s.client_public_key AND p.server_public_key = r.server_public_key
WHERE s.id = $1 AND NOT tombstone
