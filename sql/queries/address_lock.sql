-- address_lock(pool text, probes bigint[], search bigint, most bigint) -> idx bigint
-- As address_free, with one taker at a time per pool until the transaction ends.
SELECT p.idx FROM (SELECT pg_advisory_xact_lock(hashtext($1))) locked, LATERAL (
    SELECT DISTINCT unnest($2::bigint[]) AS idx
    UNION ALL SELECT generate_series(0, $3::bigint - 1)) p
WHERE NOT EXISTS (SELECT FROM address_lease l WHERE l.pool = $1 AND l.idx = p.idx)
ORDER BY random() LIMIT $4
