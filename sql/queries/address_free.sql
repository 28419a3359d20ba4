-- address_free(pool text, probes bigint[], search bigint, most bigint) -> idx bigint
-- Of the probed indexes those that nobody holds; and, for a pool searched whole, its free ones in random order.
SELECT p.idx FROM (
    SELECT DISTINCT unnest($2::bigint[]) AS idx
    UNION ALL SELECT generate_series(0, $3::bigint - 1)) p
WHERE NOT EXISTS (SELECT FROM address_lease l WHERE l.pool = $1 AND l.idx = p.idx)
ORDER BY random() LIMIT $4
