-- oauth_state_take(id text[], connection text[], intent text[], now timestamptz, rows bigint) -> guard void
-- Each is used once. intent: null where the provider sent an error.
WITH used AS (
    UPDATE oauth_state s SET used_at = $4::timestamptz, intent = w.intent
    FROM unnest($1::text[]::uuid[], $2::text[], $3::text[]::uuid[]) AS w (id, connection, intent)
    WHERE s.id = w.id AND s.connection = w.connection AND s.used_at IS NULL
    RETURNING 1)
SELECT guard((SELECT count(*) FROM used), $5, 'DB002', 'oauth_state')
