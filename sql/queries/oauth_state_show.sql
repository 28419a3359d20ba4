-- oauth_state_show(digest bytea) -> id, connection, requester, binding, issuer, until, open: what a callback is compared with
SELECT id::text, connection, requester, binding, issuer, until, used_at IS NULL AS open
FROM oauth_state WHERE digest = $1::bytea
