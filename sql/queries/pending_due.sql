-- pending_due(consumer text, shard int, before timestamptz, most int) -> subject text, digest bytea, due_at timestamptz
SELECT subject, digest, due_at FROM pending
WHERE consumer = $1 AND shard = $2 AND state IN ('timed', 'scheduled') AND due_at < $3
ORDER BY due_at LIMIT $4::int
