-- pending_lost(consumer text, shard int, before timestamptz, most int) -> subject text, digest bytea, due_at timestamptz
-- Rows whose ticket should have come long ago.
SELECT subject, digest, due_at FROM pending
WHERE consumer = $1 AND shard = $2 AND state = 'tier' AND due_at < $3
ORDER BY due_at LIMIT $4::int
