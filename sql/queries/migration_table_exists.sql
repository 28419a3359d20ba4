-- migration_table_exists() -> exists
SELECT to_regclass('schema_migration') IS NOT NULL AS "exists"
