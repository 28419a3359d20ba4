-- verify_ledger_marks(now timestamptz) -> subject, identity, detail
-- A row behind the count was written past the guard; a mark that does not move has nobody who publishes.
SELECT format('shard/%s/%s', s.consumer, s.n) AS subject, format('beyond %s', l.seq) AS identity,
       format('row %s of the ledger, but the shard has counted to %s', l.seq, s.ledger_seq) AS detail
FROM shard s CROSS JOIN LATERAL (
    SELECT l.seq FROM ledger l WHERE l.shard = s.n AND l.seq > s.ledger_seq AND l.consumer = s.consumer
    ORDER BY l.seq LIMIT 1) l
UNION ALL
SELECT format('shard/%s/%s', s.consumer, s.n), format('mark %s', s.published),
       format('published up to %s of %s; the next row waits since %s', s.published, s.ledger_seq, l.at)
FROM shard s JOIN ledger l ON l.consumer = s.consumer AND l.shard = s.n AND l.seq = s.published + 1
WHERE s.published < s.ledger_seq AND l.at < $1::timestamptz - interval '60 seconds'
LIMIT 100
