-- migration_lock() -> nothing. Held until the connection ends; two runs wait for each other.
SELECT pg_advisory_lock(hashtext('drawbridge.migrate'))
