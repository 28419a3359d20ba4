-- token_secret_drop(token_id text[], keep text[], until timestamptz[])
-- What no longer is a secret of these tokens: the previous one, and the current one but where it keeps a grace.
DELETE FROM token_secret s
USING unnest($1::text[]::uuid[], $2::text[]::uuid[], $3::timestamptz[]) AS w (token_id, keep, until)
WHERE s.token_id = w.token_id
  AND (s.state = 'previous' OR (s.state = 'current' AND (w.until IS NULL OR w.keep IS NOT NULL)))
