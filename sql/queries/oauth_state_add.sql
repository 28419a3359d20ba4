-- oauth_state_add(id uuid, digest bytea, connection text, config_version bigint, requester text, binding bytea, verifier bytea, redirect_uri text, issuer text, created_at timestamptz, until timestamptz) -> begun: no row when it was there already
INSERT INTO oauth_state (id, digest, connection, config_version, requester, binding, verifier, redirect_uri, issuer,
    created_at, until)
VALUES ($1::uuid, $2::bytea, $3::text, $4::bigint, $5::text, $6::bytea, $7::bytea, $8::text, $9::text,
    $10::timestamptz, $11::timestamptz)
ON CONFLICT (id) DO NOTHING
RETURNING 1 AS begun
