-- oauth_state_find(id text[]) -> id text, connection text, config_version bigint, until timestamptz, open boolean
SELECT id::text, connection, config_version, until, used_at IS NULL AS open FROM oauth_state
WHERE id = ANY ($1::text[]::uuid[])
