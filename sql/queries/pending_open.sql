-- pending_open(consumer text, shard int, after text, most int) -> subject text, digest bytea, state text
-- Heads that a predecessor left with an effect open, or lanes whose head is a follower.
SELECT DISTINCT ON (p.subject) p.subject, p.digest, p.state FROM pending p
WHERE p.consumer = $1 AND p.shard = $2 AND p.subject > $3 AND p.state <> 'scheduled'
ORDER BY p.subject, p.pos LIMIT $4::int
