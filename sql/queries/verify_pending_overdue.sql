-- verify_pending_overdue(now timestamptz) -> subject, identity, detail
-- A lost ticket is issued again within seconds; what is due for a minute, with its shard's owner at work, was
-- forgotten.
SELECT p.subject, format('%s/%s/%s', encode(p.digest, 'hex'), p.attempt, s.epoch) AS identity,
       format('%s %s (%s) was due at %s', p.type, p.command_id, p.state, p.due_at) AS detail
FROM pending p JOIN shard s ON s.consumer = p.consumer AND s.n = p.shard
WHERE p.state IN ('tier', 'timed', 'scheduled') AND p.due_at < $1::timestamptz - interval '60 seconds'
  AND EXISTS (SELECT FROM worker_instance w WHERE w.worker = p.consumer AND p.shard = ANY (w.shards)
              AND w.seen_at > $1::timestamptz - interval '15 seconds')
LIMIT 100
