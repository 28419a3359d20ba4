-- verify_stream_prev(consumer text[], shard int[], after bigint[], upto bigint[]) -> subject, identity, detail
-- Each event names the one before it of its subject, which has the number before; the first has none.
SELECT l.subject, format('%s/%s/%s', l.consumer, l.shard, l.seq) AS identity,
       format('event %s (sequence %s) follows %s', l.ce_id, l.sequence,
              CASE WHEN l.prev_seq IS NULL THEN 'nothing'
                   WHEN p.seq IS NULL THEN format('%s/%s/%s, which is not there', l.prev_consumer, l.prev_shard,
                                                  l.prev_seq)
                   ELSE format('sequence %s of %s', p.sequence, p.subject) END) AS detail
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS w (consumer, shard, after, upto)
-- OFFSET: window by window, by its index; a join could as well read the whole ledger for each.
CROSS JOIN LATERAL (SELECT * FROM ledger l WHERE l.consumer = w.consumer AND l.shard = w.shard AND l.seq > w.after
                    AND l.seq <= w.upto OFFSET 0) l
LEFT JOIN shard s ON s.consumer = l.prev_consumer AND s.n = l.prev_shard
LEFT JOIN LATERAL (SELECT * FROM ledger q WHERE q.consumer = l.prev_consumer AND q.shard = l.prev_shard
                   AND q.seq = l.prev_seq LIMIT 1) p ON true
WHERE l.topic = 'drawbridge.events' AND l.sequence IS NOT NULL
  AND ((l.prev_seq IS NULL AND l.sequence <> 1)
       OR (l.prev_seq > s.ledger_floor AND p.seq IS NULL)
       OR p.subject <> l.subject OR p.sequence <> l.sequence - 1)
LIMIT 100
