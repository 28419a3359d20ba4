-- token_secret_rehash(id uuid, hmac bytea, pepper int, argon2id text, now timestamptz) -> changed: 0 when the secret is gone
-- First use of a key from an older system (its SHA-256 is forgotten), or of a secret whose pepper is lost.
WITH changed AS (
    UPDATE token_secret SET hmac = $2::bytea, pepper = $3::int::smallint, argon2id = $4::text, legacy_sha256 = NULL,
        checked_at = $5::timestamptz
    WHERE id = $1::uuid
    RETURNING 1)
SELECT count(*) AS changed FROM changed
