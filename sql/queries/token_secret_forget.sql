-- token_secret_forget(now timestamptz, most int) -> forgotten: secrets that nobody took within an hour, and those whose grace is over
WITH old AS (
    SELECT id FROM token_secret WHERE state = 'new' AND made_at < $1::timestamptz - interval '1 hour'
    UNION ALL SELECT id FROM token_secret WHERE state = 'previous' AND valid_until < $1::timestamptz
    LIMIT $2::int),
gone AS (DELETE FROM token_secret s USING old o WHERE s.id = o.id RETURNING 1)
SELECT count(*) AS forgotten FROM gone
