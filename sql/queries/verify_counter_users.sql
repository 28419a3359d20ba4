-- verify_counter_users(bytes bigint) -> subject, identity, detail
SELECT 'user/' || u.id AS subject, u.total_sessions_created::text AS identity,
       format('counted %s sessions in all, the rows are %s, and %s were forgotten', u.total_sessions_created, r.n,
              u.sessions_forgotten) AS detail
FROM users u TABLESAMPLE SYSTEM (verify_share('users', $1))
CROSS JOIN LATERAL (SELECT count(*) AS n FROM sessions s WHERE s.user_id = u.id AND NOT s.tombstone) r
WHERE u.total_sessions_created <> r.n + u.sessions_forgotten
LIMIT 100
