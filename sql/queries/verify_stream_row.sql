-- verify_stream_row(consumer text[], shard int[], after bigint[], upto bigint[]) -> subject, identity, detail
-- What was told of a resource is counted in its row.
WITH told AS (
    SELECT l.subject, max(l.sequence) AS sequence
    FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS w (consumer, shard, after, upto)
    -- OFFSET: window by window, by its index; a join could as well read the whole ledger for each.
    CROSS JOIN LATERAL (SELECT * FROM ledger l WHERE l.consumer = w.consumer AND l.shard = w.shard AND l.seq > w.after
                        AND l.seq <= w.upto OFFSET 0) l
    WHERE l.topic = 'drawbridge.events' AND l.sequence IS NOT NULL GROUP BY 1)
SELECT t.subject, t.sequence::text AS identity,
       format('the ledger has event %s, the row has counted to %s', t.sequence,
              greatest(u.sequence, s.sequence, k.sequence, c.sequence, f.sequence, o.sequence, 0)) AS detail
FROM told t
LEFT JOIN users u ON t.subject LIKE 'user/%' AND u.id = substr(t.subject, 6)
LEFT JOIN sessions s ON t.subject LIKE 'session/%' AND s.id = substr(t.subject, 9)
LEFT JOIN personal_access_token k ON t.subject LIKE 'token/%' AND k.id::text = substr(t.subject, 7)
LEFT JOIN connection c ON t.subject LIKE 'connection/%' AND c.id = substr(t.subject, 12)
LEFT JOIN workflow f ON t.subject LIKE 'workflow/%' AND f.id = substr(t.subject, 10)
LEFT JOIN subject_stream o ON o.subject = t.subject
WHERE t.sequence > greatest(u.sequence, s.sequence, k.sequence, c.sequence, f.sequence, o.sequence, 0)
LIMIT 100
