-- token_used(id uuid[], at timestamptz[], ip text[], now timestamptz)
-- At most once a minute for each token, whatever the number of edges. What somebody else holds is passed over, so that
-- nobody waits for this.
WITH w AS (SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS w (id, at, ip)),
mine AS (
    SELECT t.id FROM personal_access_token t JOIN w ON w.id = t.id
    WHERE t.last_used_at IS NULL OR (t.last_used_at < w.at AND t.last_used_at <= $4::timestamptz - interval '1 minute')
    FOR NO KEY UPDATE OF t SKIP LOCKED)
UPDATE personal_access_token t SET last_used_at = w.at, last_used_ip = w.ip
FROM w JOIN mine ON mine.id = w.id WHERE t.id = w.id
