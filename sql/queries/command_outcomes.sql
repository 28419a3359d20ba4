-- command_outcomes(ids text[], digests bytea[], now timestamptz, horizon_ms int8) -> id text, outcome text, type text, data jsonb
-- Those of these commands that have ended: the inbox names the event, or, for a command without an
-- inbox row (its time was invalid), the ledger has it by the digest.
SELECT w.id, e.outcome, e.type, convert_from(e.value, 'UTF8')::jsonb AS data
FROM unnest($1::text[], $2::bytea[]) AS w(id, digest)
CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT l.outcome, l.type, l.value, l.day, l.consumer, l.shard, l.seq
        FROM generate_series(($3::timestamptz - $4::int8 * interval '1 millisecond')::date, $3::timestamptz::date + 1, interval '1 day') AS d
        JOIN inbox i ON i.day = d::date AND i.digest = w.digest
        JOIN ledger l ON l.shard = i.shard AND l.seq = i.event_seq AND l.consumer = i.consumer AND l.day = i.event_day
        UNION ALL
        SELECT l.outcome, l.type, l.value, l.day, l.consumer, l.shard, l.seq FROM ledger l
        WHERE l.command = w.digest AND l.outcome IS DISTINCT FROM 'done' AND l.outcome IS NOT NULL) ended
    ORDER BY day, consumer, shard, seq LIMIT 1) e
