-- migration_record(version int, name text, sha256 text) -> nothing
INSERT INTO schema_migration (version, name, sha256) VALUES ($1::int, $2, $3)
