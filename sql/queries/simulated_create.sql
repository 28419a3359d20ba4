-- simulated_create(session_id text[], profile text[], ready_ms bigint[], stuck int[], wanted boolean[], fence bigint[], now_ms bigint) -> position bigint, made boolean, present boolean, full boolean, ready_ms bigint, down boolean
-- wanted false: look only. full: there is no room for it. fence: see simulated_fence. Times are Unix epoch milliseconds.
-- Comes after simulated_lock in one transaction, so that the count below sees every other create.
WITH asked AS (
    SELECT session_id, profile, to_timestamp(ready_ms / 1000.0) AS ready_at, stuck, position,
           wanted AND fence > coalesce((SELECT f.fence FROM simulated_fence f
                                        WHERE f.session_id = u.session_id), -1) AS wanted,
           row_number() OVER (PARTITION BY session_id ORDER BY position) = 1 AS leads
    FROM unnest($1::text[]::uuid[], $2::text[], $3::bigint[], $4::integer[], $5::boolean[], $6::bigint[])
         WITH ORDINALITY AS u (session_id, profile, ready_ms, stuck, wanted, fence, position)
), room AS (
    SELECT capacity - (SELECT count(*) FROM simulated_instance) AS places FROM simulated_provider
), fresh AS (
    SELECT a.*, count(*) FILTER (WHERE wanted AND leads) OVER (ORDER BY position)
                + (NOT (wanted AND leads))::integer <= coalesce((SELECT places FROM room), 0) AS fits
    FROM asked a
    WHERE NOT EXISTS (SELECT FROM simulated_instance i WHERE i.session_id = a.session_id)
), made AS (
    INSERT INTO simulated_instance (session_id, profile, stuck, created_at, ready_at)
    SELECT session_id, profile, stuck, to_timestamp($7::bigint / 1000.0), ready_at
    FROM fresh WHERE wanted AND leads AND fits AND NOT (SELECT down FROM simulated_provider)
    ON CONFLICT DO NOTHING
    RETURNING session_id
), answered AS (
    -- IN is hashed, where a join would be planned as a loop over two lists of unknown length.
    SELECT a.*, session_id IN (SELECT session_id FROM made) AS made FROM asked a
)
SELECT a.position,
       a.made AND a.leads AS made,
       a.made OR i.session_id IS NOT NULL AS present,
       coalesce(NOT f.fits, false) AS full,
       (extract(epoch FROM CASE WHEN a.made THEN a.ready_at ELSE i.ready_at END) * 1000)::bigint AS ready_ms,
       (SELECT down FROM simulated_provider) AS down
FROM answered a
LEFT JOIN simulated_instance i USING (session_id)
LEFT JOIN fresh f USING (position)
ORDER BY a.position
