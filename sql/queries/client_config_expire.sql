-- client_config_expire(session_id text[], expires_at timestamptz[])
-- The private key goes with it: nothing can be connected any more.
UPDATE client_config c SET expires_at = w.at, client_private_key = NULL
FROM unnest($1::text[], $2::timestamptz[]) AS w (session_id, at) WHERE c.session_id = w.session_id
