-- address_release(session_id text[], rows bigint) -> guard void
WITH freed AS (DELETE FROM address_lease WHERE session_id = ANY ($1) RETURNING 1)
SELECT guard((SELECT count(*) FROM freed), $2, 'DB002', 'address_lease')
