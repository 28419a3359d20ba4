-- token_used(id uuid[], at timestamptz[], ip text[])
-- Tokens in the order of their ids, so that two edges cannot wait for each other.
UPDATE personal_access_token t SET last_used_at = w.at, last_used_ip = w.ip
FROM (SELECT id, at, ip FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS w (id, at, ip) ORDER BY id) w
WHERE t.id = w.id AND (t.last_used_at IS NULL OR t.last_used_at < w.at)
