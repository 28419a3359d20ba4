-- oauth_state_show(digest bytea) -> id, connection, requester, binding, issuer, until, open, tells_issuer: what a callback is compared with
-- tells_issuer: its provider has told that each of its answers says who it is (RFC 9207).
SELECT o.id::text, o.connection, o.requester, o.binding, o.issuer, o.until, o.used_at IS NULL AS open,
       coalesce((SELECT c.endpoints::jsonb -> 'tells_issuer' FROM connection c WHERE c.id = o.connection), 'false')::boolean AS tells_issuer
FROM oauth_state o WHERE o.digest = $1::bytea
