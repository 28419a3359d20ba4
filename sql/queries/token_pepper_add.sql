-- token_pepper_add(version smallint, sealed bytea, made_at timestamptz) -> version; no row: there is one already
INSERT INTO token_pepper (version, sealed, made_at) VALUES ($1::smallint, $2::bytea, $3::timestamptz)
ON CONFLICT DO NOTHING RETURNING version
