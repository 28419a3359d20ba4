-- session_show(id text) -> one row: status, server, client, bytes, times (V-16)
SELECT id AS "sessionId", user_id AS "userId", status, reason, cancelling, driver, profile,
       provider_instance_id AS "providerInstanceId", public_ip_address AS "publicIpAddress",
       vpn_port AS "vpnPort", server_endpoint AS "serverEndpoint",
       server_public_key AS "serverPublicKey", client_public_key AS "clientPublicKey",
       client_ip_address AS "clientIpAddress", allowed_ips AS "allowedIPs",
       dns_servers AS "dnsServers", rx_bytes AS "bytesReceived", tx_bytes AS "bytesSent",
       idle_timeout_minutes AS "idleTimeoutMinutes", provision_attempts AS "provisionAttempts",
       error_code AS "errorCode", error_message AS "errorMessage", created_at AS "createdAt",
       activated_at AS "activatedAt", last_activity_at AS "lastActivityAt",
       idle_at AS "idleTimeoutAt", terminating_at AS "terminatingAt",
       terminated_at AS "terminatedAt",
       CASE status WHEN 'provisioning' THEN 'starting' WHEN 'terminating' THEN 'stopping'
           WHEN 'terminated' THEN 'gone' ELSE 'up' END AS health,
       -- A WireGuard client that said nothing for 180 s has no valid keys any more (REJECT_AFTER_TIME).
       (status IN ('active', 'idle') AND rx_bytes > 0
        AND last_activity_at > now() - interval '180 seconds')::int AS "connectedClients",
       (extract(epoch FROM coalesce(terminated_at, now()) - activated_at) * 1000)::bigint
           AS "uptimeMs",
       version, sequence
FROM sessions WHERE id = $1 AND NOT tombstone
