-- verify_lane_orphan(now timestamptz) -> subject, identity, detail
-- A follower without a head is taken up at once; one that stays, with its shard's owner at work, was forgotten.
SELECT l.subject, format('%s/%s', encode(l.digest, 'hex'), s.epoch) AS identity,
       format('%s %s waits behind nobody', l.type, l.command_id) AS detail
FROM (SELECT DISTINCT ON (consumer, shard, subject) * FROM pending WHERE state <> 'scheduled'
      ORDER BY consumer, shard, subject, pos) l
JOIN shard s ON s.consumer = l.consumer AND s.n = l.shard
WHERE l.state = 'follower'
  AND EXISTS (SELECT FROM worker_instance w WHERE w.worker = l.consumer AND l.shard = ANY (w.shards)
              AND w.seen_at > $1::timestamptz - interval '15 seconds')
LIMIT 100
