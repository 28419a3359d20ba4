-- connection_secret_add(id uuid, connection text, kind text, sealed bytea, made_at timestamptz) -> born: no row when it was there already
-- A secret is born; a command that names it takes it.
INSERT INTO connection_secret (id, connection, kind, sealed, made_at, state)
VALUES ($1::uuid, $2::text, $3::text, $4::bytea, $5::timestamptz, 'new')
ON CONFLICT (id) DO NOTHING
RETURNING 1 AS born
