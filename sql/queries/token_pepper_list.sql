-- token_pepper_list() -> version smallint, sealed bytea
SELECT version, sealed FROM token_pepper ORDER BY version
