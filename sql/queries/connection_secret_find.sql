-- connection_secret_find(id text[], connection text[]) -> id text: those that wait to be taken
SELECT s.id::text FROM connection_secret s
JOIN unnest($1::text[]::uuid[], $2::text[]) AS w (id, connection) ON s.id = w.id AND s.connection = w.connection
WHERE s.state = 'new'
