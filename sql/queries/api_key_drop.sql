-- api_key_drop(id uuid) -> dropped: 0 when another key has taken its place
-- A user's API key by its row: a key made since has another.
WITH gone AS (DELETE FROM token_secret WHERE id = $1::uuid AND user_id IS NOT NULL RETURNING 1)
SELECT count(*) AS dropped FROM gone
