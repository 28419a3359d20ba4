-- audit_feed(shard int[], seq bigint[], each int, most int) -> shard int, seq bigint, event_type text, user_id text, resource text, outcome text, correlation_id text, record text
-- What audit has written behind a position, in the order of each shard and about in that of time; record null: no part
-- of the trail. A shard that the position does not name is read from its beginning. The ledger's rows are numbered
-- without gaps and seen in that order, so nothing turns up behind what was read.
SELECT w.shard, w.seq, w.type, w.v ->> 'userId', w.subject, w.v ->> 'outcome', e.correlation_id,
       CASE WHEN w.v IS NOT NULL THEN
           audit_record(w.v ->> 'eventId', w.v ->> 'timestamp', w.type, e.type, w.subject, w.sequence, w.v ->> 'userId',
                        w.v ->> 'sessionId', w.v ->> 'outcome', w.v ->> 'message', w.v ->> 'metadata',
                        w.v ->> 'ipAddress', (w.v ->> 'durationMs')::bigint, e.correlation_id, e.causation_id) END
FROM (SELECT l.*, max(l.at) OVER (PARTITION BY l.shard ORDER BY l.seq) AS about
      FROM shard s
      LEFT JOIN unnest($1::int[], $2::bigint[]) AS p (n, seq) ON p.n = s.n
      CROSS JOIN LATERAL (
          SELECT l.shard, l.seq, l.at, l.type, l.subject, l.sequence,
                 CASE WHEN l.topic = 'drawbridge.audit' THEN convert_from(l.value, 'UTF8')::json END AS v
          FROM ledger l
          WHERE l.consumer = 'audit' AND l.shard = s.n AND l.seq > coalesce(p.seq, 0)
          ORDER BY l.seq LIMIT $3::int) l
      WHERE s.consumer = 'audit' AND s.ledger_seq > coalesce(p.seq, 0)) w
LEFT JOIN operational_event e
       ON e.event_date = (w.v ->> 'eventDate')::date AND e.subject = w.subject AND e.sequence = w.sequence
ORDER BY w.about, w.shard, w.seq LIMIT $4::int
