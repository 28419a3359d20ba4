-- A million tokens (T-04): what is asked for by a token's id or its owner is not searched for.

CREATE INDEX token_secret_token ON token_secret (token_id) WHERE token_id IS NOT NULL;
CREATE INDEX personal_access_token_owner ON personal_access_token (owner, created_at, id);
