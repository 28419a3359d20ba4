-- api_key_put(user_id text[], sha256 text[], at timestamptz[])
-- The API keys of users, by a hash of an older system until their first use (T-12). The row's id is
-- a new one: what is still on its way to the old key's row finds it gone.
INSERT INTO token_secret (id, user_id, legacy_sha256, made_at, state)
SELECT gen_random_uuid(), w.user_id, decode(w.sha256, 'hex'), w.at, 'current'
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS w (user_id, sha256, at) ORDER BY w.user_id
ON CONFLICT (user_id) WHERE user_id IS NOT NULL DO UPDATE SET id = excluded.id, hmac = NULL, pepper = NULL,
    argon2id = NULL, legacy_sha256 = excluded.legacy_sha256, made_at = excluded.made_at, checked_at = NULL
