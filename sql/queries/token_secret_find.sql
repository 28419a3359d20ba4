-- token_secret_find(id text[], token_id text[]) -> id text: those that wait to be taken
SELECT s.id::text FROM token_secret s
JOIN unnest($1::text[]::uuid[], $2::text[]::uuid[]) AS w (id, token_id) ON s.id = w.id AND s.token_id = w.token_id
WHERE s.state = 'new'
