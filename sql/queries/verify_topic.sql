-- verify_topic(run bigint, consumer text[], shard int[], published bigint[], since timestamptz) -> subject, identity, detail
-- What was read from drawbridge.events against the ledger: nothing else is there than what the ledger holds,
-- byte for byte; what it held below the marks (taken before the topic's end was) is there, from `since` on;
-- and first occurrences are in order.
WITH seen AS (
    SELECT ce_id, min(subject) AS subject, min(sequence) AS sequence, min(digest) AS digest,
           count(DISTINCT (digest, sequence, subject)) AS kinds, min(partition) AS partition,
           min(record_offset) AS first, min(at) AS at
    FROM verify_seen WHERE run = $1::bigint GROUP BY 1),
kept AS NOT MATERIALIZED (SELECT * FROM ledger WHERE topic = 'drawbridge.events')
(SELECT s.subject, s.ce_id AS identity,
        CASE WHEN s.kinds > 1 THEN format('event %s was published in %s forms', s.ce_id, s.kinds)
             WHEN l.ce_id IS NULL THEN format('event %s is on the topic (%s/%s) and in no ledger', s.ce_id, s.partition,
                                              s.first)
             ELSE format('event %s on the topic is not what the ledger holds', s.ce_id) END AS detail
 FROM seen s LEFT JOIN kept l ON l.ce_id = s.ce_id
 WHERE s.kinds > 1
    OR (l.ce_id IS NULL AND to_regclass('ledger_' || to_char(s.at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL)
    OR md5(l.value) <> s.digest OR l.sequence <> s.sequence OR l.subject <> s.subject
 LIMIT 100)
UNION ALL
(SELECT l.subject, l.ce_id, format('event %s is published by the mark of %s/%s and not on the topic', l.ce_id,
                                   l.consumer, l.shard)
 FROM unnest($2::text[], $3::int[], $4::bigint[]) AS m (consumer, shard, published)
 JOIN kept l ON l.consumer = m.consumer AND l.shard = m.shard AND l.seq <= m.published AND l.at > $5::timestamptz
 WHERE NOT EXISTS (SELECT FROM seen s WHERE s.ce_id = l.ce_id)
 LIMIT 100)
UNION ALL
(SELECT o.subject, o.sequence::text, format('event %s of the subject comes after %s on the topic', o.sequence, o.before)
 FROM (SELECT subject, sequence, lag(sequence) OVER (PARTITION BY subject ORDER BY partition, first) AS before
       FROM seen) o
 WHERE o.sequence <> o.before + 1 AND o.sequence > 1
 LIMIT 100)
