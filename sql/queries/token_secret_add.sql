-- token_secret_add(id uuid, token_id uuid, hmac bytea, pepper int, argon2id text, made_at timestamptz) -> born: no row when it was there already
-- A secret is born; a command that names it takes it.
INSERT INTO token_secret (id, token_id, hmac, pepper, argon2id, made_at, checked_at, state)
VALUES ($1::uuid, $2::uuid, $3::bytea, $4::int::smallint, $5::text, $6::timestamptz, $6::timestamptz, 'new')
ON CONFLICT (id) DO NOTHING
RETURNING 1 AS born
