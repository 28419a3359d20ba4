-- verify_address_lease() -> subject, identity, detail
-- An address is leased exactly while its session lives, and to one session.
SELECT 'session/' || coalesce(l.session_id, s.id) AS subject, coalesce(l.idx::text, s.client_ip_address) AS identity,
       CASE WHEN s.id IS NULL THEN format('holds address %s of %s and is not alive', l.idx, l.pool)
            WHEN l.session_id IS NULL THEN format('uses %s without a lease', s.client_ip_address)
            ELSE format('uses %s and holds %s', s.client_ip_address, host(l.pool::inet + l.idx + 2)) END AS detail
FROM address_lease l
FULL JOIN (SELECT id, client_ip_address FROM sessions
           WHERE status <> 'terminated' AND client_ip_address IS NOT NULL) s ON s.id = l.session_id
WHERE s.id IS NULL OR l.session_id IS NULL OR s.client_ip_address <> host(l.pool::inet + l.idx + 2)
LIMIT 100
