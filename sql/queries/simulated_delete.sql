-- simulated_delete(session_id text[], attempt int[]) -> position bigint, removed boolean (by this statement), stuck boolean, down boolean
WITH asked AS (
    SELECT session_id, attempt, position,
           row_number() OVER (PARTITION BY session_id ORDER BY position) = 1 AS leads
    FROM unnest($1::text[]::uuid[], $2::integer[]) WITH ORDINALITY AS u (session_id, attempt, position)
), gone AS (
    DELETE FROM simulated_instance i USING asked a
    WHERE i.session_id = a.session_id AND a.leads AND a.attempt > i.stuck AND NOT (SELECT down FROM simulated_provider)
    RETURNING i.session_id
)
SELECT a.position,
       a.leads AND a.session_id IN (SELECT session_id FROM gone) AS removed,
       coalesce(a.attempt <= i.stuck, false) AS stuck,
       (SELECT down FROM simulated_provider) AS down
FROM asked a
LEFT JOIN simulated_instance i USING (session_id)
ORDER BY a.position
