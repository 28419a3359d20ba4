-- verify_counter_deployment() -> subject, identity, detail
SELECT 'deployment' AS subject, format('%s/%s', d.active_instances, d.active_sessions) AS identity,
       format('counted %s instances and %s sessions, the rows are %s and %s', d.active_instances, d.active_sessions,
              r.instances, r.sessions) AS detail
FROM infrastructure_state d CROSS JOIN (
    SELECT count(*) AS instances, count(*) FILTER (WHERE status IN ('provisioning', 'active', 'idle')) AS sessions
    FROM sessions WHERE status <> 'terminated') r
WHERE (d.active_instances, d.active_sessions) IS DISTINCT FROM (r.instances, r.sessions)
