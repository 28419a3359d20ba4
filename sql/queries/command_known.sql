-- command_known(digest bytea, now timestamptz, horizon_ms int8) -> payload bytea
-- What came under this id, of whichever day the inbox keeps: one row, or none. Tells a repetition
-- from a reuse.
SELECT i.payload
FROM generate_series(($2::timestamptz - $3::int8 * interval '1 millisecond')::date, $2::timestamptz::date + 1, interval '1 day') AS d
JOIN inbox i ON i.day = d::date AND i.digest = $1
ORDER BY i.day LIMIT 1
