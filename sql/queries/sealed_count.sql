-- sealed_count() -> sealed: rows that only the master key can open
SELECT (SELECT count(*) FROM client_config WHERE client_private_key IS NOT NULL)
     + (SELECT count(*) FROM token_pepper) AS sealed
