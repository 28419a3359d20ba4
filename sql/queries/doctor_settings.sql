-- doctor_settings() -> name, setting: what durability rests on (HAZARDS H23)
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'max_prepared_transactions',
               'server_version_num')
ORDER BY name
