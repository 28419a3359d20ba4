-- session_config(id text) -> userId, status, privateKey (sealed, or null), address, serverPublicKey,
-- endpoint, allowedIPs, dnsServers, keepalive, expiresAt
SELECT c.user_id AS "userId", s.status, c.client_private_key AS "privateKey",
       c.client_ip_address AS address, c.server_public_key AS "serverPublicKey",
       c.server_endpoint AS endpoint, c.allowed_ips AS "allowedIPs",
       c.dns_servers AS "dnsServers", c.keepalive, c.expires_at AS "expiresAt"
FROM client_config c JOIN sessions s ON s.id = c.session_id
WHERE c.session_id = $1
