-- token_secret_checked(id uuid, now timestamptz)
-- HMAC and Argon2id were seen to agree.
UPDATE token_secret SET checked_at = $2::timestamptz WHERE id = $1::uuid
