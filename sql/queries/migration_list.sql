-- migration_list() -> version, name, sha256, appliedAt
SELECT version, name, sha256, applied_at AS "appliedAt" FROM schema_migration ORDER BY version
