-- user_show(id text) -> one row, everything about a user but the hash of the key
SELECT u.id, u.tenant, u.email, u.display_name AS "displayName", u.auth_method AS "authMethod",
       EXISTS (SELECT FROM token_secret s WHERE s.user_id = u.id) AS "hasApiKey", u.directory_object_id AS "directoryObjectId",
       u.allowed_source_ips AS "allowedSourceIPs", u.is_active AS "isActive", u.removing,
       u.quota_max_concurrent_sessions AS "quotaMaxConcurrentSessions",
       u.quota_max_sessions_per_day AS "quotaMaxSessionsPerDay",
       (SELECT count(*) FROM sessions s WHERE s.user_id = u.id AND s.status <> 'terminated')
           AS "liveSessions",
       u.total_sessions_created AS "totalSessionsCreated", u.last_session_at AS "lastSessionAt",
       u.created_at AS "createdAt", u.updated_at AS "updatedAt", u.version, u.sequence
FROM users u WHERE u.id = $1 AND NOT u.removed
