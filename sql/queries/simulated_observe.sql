-- simulated_observe(session_id text[]) -> position bigint, present boolean, ready_ms bigint (Unix epoch; null when absent), down boolean
SELECT u.position, i.session_id IS NOT NULL AS present,
       (extract(epoch FROM i.ready_at) * 1000)::bigint AS ready_ms,
       (SELECT down FROM simulated_provider) AS down
FROM unnest($1::text[]::uuid[]) WITH ORDINALITY AS u (session_id, position)
LEFT JOIN simulated_instance i USING (session_id)
ORDER BY u.position
