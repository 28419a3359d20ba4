-- verify_inbox_once(consumer text[], shard int[], after bigint[], upto bigint[]) -> subject, identity, detail
-- The event that ends a command is the one that its inbox row names: a second one is a second effect. (A
-- command that died may end once more, when it was replayed.)
SELECT l.subject, format('%s/%s/%s', l.consumer, l.shard, l.seq) AS identity,
       CASE WHEN i.event_seq = l.seq AND i.shard = l.shard AND i.consumer = l.consumer
            THEN format('event %s says %s, the inbox %s', l.ce_id, l.outcome, i.outcome)
            ELSE format('event %s says %s, but the command was ended by %s/%s/%s', l.ce_id, l.outcome, i.consumer,
                        i.shard, coalesce(i.event_seq::text, 'nothing')) END AS detail
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS w (consumer, shard, after, upto)
-- OFFSET: window by window, by its index; a join could as well read the whole ledger for each.
CROSS JOIN LATERAL (SELECT * FROM ledger l WHERE l.consumer = w.consumer AND l.shard = w.shard AND l.seq > w.after
                    AND l.seq <= w.upto OFFSET 0) l
JOIN inbox i ON i.digest = l.command
WHERE l.outcome IS NOT NULL AND l.outcome <> 'dead'
  AND ((i.consumer, i.shard, i.event_seq) IS DISTINCT FROM (l.consumer, l.shard, l.seq)
       OR l.outcome <> CASE i.outcome WHEN 'a' THEN 'done' WHEN 'r' THEN 'refused' WHEN 'c' THEN 'cancelled'
                                      ELSE 'open or dead' END)
LIMIT 100
