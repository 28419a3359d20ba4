-- user_list(most int, after text) -> id, tenant, email, displayName, isActive, removing,
-- quotaMaxConcurrentSessions, quotaMaxSessionsPerDay, liveSessions, createdAt. after: user id or null.
SELECT u.id, u.tenant, u.email, u.display_name AS "displayName", u.is_active AS "isActive",
       u.removing, u.quota_max_concurrent_sessions AS "quotaMaxConcurrentSessions",
       u.quota_max_sessions_per_day AS "quotaMaxSessionsPerDay",
       (SELECT count(*) FROM sessions s WHERE s.user_id = u.id AND s.status <> 'terminated')
           AS "liveSessions",
       u.created_at AS "createdAt"
FROM users u
WHERE NOT u.removed AND ($2::text IS NULL OR u.id > $2)
ORDER BY u.id LIMIT $1::int
