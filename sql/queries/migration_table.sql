-- migration_table() -> nothing. Which migrations this database has seen.
CREATE TABLE IF NOT EXISTS schema_migration (
    version    int         PRIMARY KEY,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
