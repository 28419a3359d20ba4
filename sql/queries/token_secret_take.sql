-- token_secret_take(token_id text[], take text[], rows bigint) -> guard void
WITH taken AS (
    UPDATE token_secret s SET state = 'current'
    FROM unnest($1::text[]::uuid[], $2::text[]::uuid[]) AS w (token_id, id)
    WHERE s.id = w.id AND s.token_id = w.token_id AND s.state = 'new'
    RETURNING 1)
SELECT guard((SELECT count(*) FROM taken), $3, 'DB002', 'token_secret')
