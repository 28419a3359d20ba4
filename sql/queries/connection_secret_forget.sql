-- connection_secret_forget(now timestamptz, most int) -> forgotten: secrets that nobody took within an hour, and authorizations that are over
WITH old AS (
    SELECT id FROM connection_secret WHERE state = 'new' AND made_at < $1::timestamptz - interval '1 hour' LIMIT $2::int),
past AS (
    SELECT id FROM oauth_state WHERE until < $1::timestamptz - interval '1 day' LIMIT $2::int),
secrets AS (DELETE FROM connection_secret s USING old o WHERE s.id = o.id RETURNING 1),
states AS (DELETE FROM oauth_state s USING past p WHERE s.id = p.id RETURNING 1)
SELECT (SELECT count(*) FROM secrets) + (SELECT count(*) FROM states) AS forgotten
