-- session_list(user_id text, status text, most int, cursor text) -> sessionId, userId, status,
-- reason, driver, profile, clientIpAddress, createdAt, lastActivityAt, idleTimeoutAt, terminatedAt,
-- cursor. Newest first; cursor: where the next page goes on. status "live": not terminated. null: any.
SELECT id AS "sessionId", user_id AS "userId", status, reason, driver, profile,
       client_ip_address AS "clientIpAddress", created_at AS "createdAt",
       last_activity_at AS "lastActivityAt", idle_at AS "idleTimeoutAt",
       terminated_at AS "terminatedAt",
       to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '/' || id AS cursor
FROM sessions
WHERE NOT tombstone
  AND ($1::text IS NULL OR user_id = $1)
  AND ($2::text IS NULL OR status = $2 OR ($2 = 'live' AND status <> 'terminated'))
  AND ($4::text IS NULL OR (created_at, id) <
       (split_part($4, '/', 1)::timestamp AT TIME ZONE 'UTC', split_part($4, '/', 2)))
ORDER BY created_at DESC, id DESC LIMIT $3::int
