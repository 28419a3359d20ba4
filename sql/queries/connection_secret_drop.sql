-- connection_secret_drop(connection text[], kind text[])
-- What no longer is a secret of these connections.
DELETE FROM connection_secret s USING unnest($1::text[], $2::text[]) AS w (connection, kind)
WHERE s.connection = w.connection AND s.kind = w.kind AND s.state = 'current'
