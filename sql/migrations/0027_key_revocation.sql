-- The API key of a user whose two hashes disagree is taken away by the edge that finds it (T-04).

GRANT DELETE ON token_secret TO drawbridge_gateway;
