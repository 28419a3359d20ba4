-- migration_record(version, name, sha256) -> nothing
INSERT INTO schema_migration (version, name, sha256) VALUES ($1::int, $2, $3)
