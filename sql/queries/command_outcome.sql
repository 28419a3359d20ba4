-- command_outcome(digest text) -> id, type, subject, sequence, outcome, time, data
-- The event that ended a command (digest: hex), from the ledger: there before anything is on the stream.
SELECT ce_id AS id, type, subject, sequence, outcome, at AS time,
       convert_from(value, 'UTF8')::json AS data
FROM ledger
WHERE command = decode($1, 'hex') AND outcome IS NOT NULL
ORDER BY day, consumer, shard, seq LIMIT 1
