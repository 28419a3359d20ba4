-- verify_ledger_gapless(consumer text[], shard int[], after bigint[], upto bigint[]) -> subject, identity, detail
SELECT format('shard/%s/%s', w.consumer, w.shard) AS subject, w.after::text AS identity,
       format('rows %s to %s: %s of %s are there', w.after + 1, w.upto, l.rows, w.upto - w.after) AS detail
FROM (SELECT u.consumer, u.shard, greatest(u.after, s.ledger_floor) AS after, u.upto
      FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS u (consumer, shard, after, upto)
      JOIN shard s ON s.consumer = u.consumer AND s.n = u.shard) w
CROSS JOIN LATERAL (
    SELECT count(*) AS rows, coalesce(sum(l.seq), 0) AS total FROM ledger l
    WHERE l.consumer = w.consumer AND l.shard = w.shard AND l.seq > w.after AND l.seq <= w.upto) l
WHERE w.upto > w.after
  AND (l.rows <> w.upto - w.after
       OR l.total <> (w.upto::numeric * (w.upto + 1) - w.after::numeric * (w.after + 1)) / 2)
LIMIT 100
