-- token_secret_keep(token_id text[], keep text[], until timestamptz[])
-- What was the secret until now goes on until the end of its grace: the current one, or `keep`, which was taken in
-- this transaction.
UPDATE token_secret s SET state = 'previous', valid_until = w.until
FROM unnest($1::text[]::uuid[], $2::text[]::uuid[], $3::timestamptz[]) AS w (token_id, keep, until)
WHERE s.token_id = w.token_id AND w.until IS NOT NULL
  AND ((w.keep IS NULL AND s.state = 'current') OR (s.id = w.keep AND s.state = 'new'))
