-- simulated_delete(session_id text[], attempt int[], fence bigint[]) -> position bigint, removed boolean (by this statement), stuck boolean, down boolean
-- Comes after simulated_lock in one transaction, so that a create under way is seen, and a later one fenced off.
WITH asked AS (
    SELECT session_id, attempt, fence, position,
           row_number() OVER (PARTITION BY session_id ORDER BY position) = 1 AS leads
    FROM unnest($1::text[]::uuid[], $2::integer[], $3::bigint[])
         WITH ORDINALITY AS u (session_id, attempt, fence, position)
), fenced AS (
    INSERT INTO simulated_fence AS f (session_id, fence)
    SELECT session_id, max(fence) FROM asked WHERE NOT (SELECT down FROM simulated_provider) GROUP BY session_id
    ON CONFLICT (session_id) DO UPDATE SET fence = greatest(f.fence, excluded.fence)
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
