-- inbox_find(consumer text, day date[], digest bytea[]) -> digest bytea, payload bytea, outcome "char", topic text, key bytea, headers bytea, value bytea
-- The event is left out while another worker has still to publish it: it must not come before the
-- events that it follows, and its owner is about to.
SELECT i.digest, i.payload, i.outcome, l.topic, l.key, l.headers, l.value
FROM unnest($2::date[], $3::bytea[]) AS w (day, digest)
JOIN inbox i ON i.day = w.day AND i.digest = w.digest
LEFT JOIN ledger l ON l.consumer = i.consumer AND l.shard = i.shard AND l.seq = i.event_seq AND l.day = i.event_day
    AND (i.consumer = $1 OR EXISTS (SELECT FROM shard s WHERE s.consumer = i.consumer AND s.n = i.shard
                                    AND s.published >= i.event_seq))
