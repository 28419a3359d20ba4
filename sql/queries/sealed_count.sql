-- sealed_count() -> sealed: rows that only the master key can open
SELECT count(*) AS sealed FROM client_config WHERE client_private_key IS NOT NULL
