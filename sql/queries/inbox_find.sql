-- inbox_find(day date[], digest bytea[]) -> digest bytea, payload bytea, outcome "char", topic text, key bytea, headers bytea, value bytea
SELECT i.digest, i.payload, i.outcome, l.topic, l.key, l.headers, l.value
FROM unnest($1::date[], $2::bytea[]) AS w (day, digest)
JOIN inbox i ON i.day = w.day AND i.digest = w.digest
LEFT JOIN ledger l ON l.consumer = i.consumer AND l.shard = i.shard AND l.seq = i.event_seq AND l.day = i.event_day
