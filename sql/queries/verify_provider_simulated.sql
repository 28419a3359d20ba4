-- verify_provider_simulated() -> subject, identity, detail
-- The provider has an instance only for a session that lives, and has one for each that is in use.
SELECT 'session/' || coalesce(s.id, i.session_id::text) AS subject, coalesce(s.status, 'none') AS identity,
       CASE WHEN s.id IS NULL THEN 'the provider has an instance, and no such session is alive'
            ELSE format('%s, and the provider has no instance', s.status) END AS detail
FROM simulated_instance i
FULL JOIN (SELECT id, status FROM sessions WHERE driver = 'simulated' AND status <> 'terminated') s
    ON s.id = i.session_id::text
WHERE s.id IS NULL OR (i.session_id IS NULL AND s.status IN ('active', 'idle'))
LIMIT 100
