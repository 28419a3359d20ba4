-- command_outcome(digest text) -> id, type, subject, sequence, outcome, time, data
-- The event that ended a command (digest: hex), from the ledger: there before anything is on the stream.
-- The inbox names it; a command without an inbox row (its time was invalid) is found by its digest. One that
-- ended more than once, because it was replayed, has the outcome that it had last.
SELECT ce_id AS id, type, subject, sequence, outcome, at AS time,
       convert_from(value, 'UTF8')::json AS data
FROM (SELECT 0 AS rank, l.* FROM inbox i
      JOIN ledger l ON l.shard = i.shard AND l.seq = i.event_seq AND l.consumer = i.consumer AND l.day = i.event_day
      WHERE i.digest = decode($1, 'hex')
      UNION ALL
      SELECT 1, l.* FROM ledger l
      WHERE l.command = decode($1, 'hex') AND l.outcome IS DISTINCT FROM 'done' AND l.outcome IS NOT NULL) ended
ORDER BY rank, at DESC, consumer, shard, seq DESC LIMIT 1
