-- pending_expired(consumer text, shard int, now timestamptz, most int) -> subject text, digest bytea
-- What waits and is too late: its deadline has passed (Q-12).
SELECT subject, digest FROM pending
WHERE consumer = $1 AND shard = $2 AND expires_at <= $3 AND expires_at IS NOT NULL AND state <> 'effect'
  AND NOT compensating
ORDER BY expires_at LIMIT $4::int
