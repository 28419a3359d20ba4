-- connection_secret_take(connection text[], kind text[], take text[], rows bigint) -> guard void
WITH taken AS (
    UPDATE connection_secret s SET state = 'current'
    FROM unnest($1::text[], $2::text[], $3::text[]::uuid[]) AS w (connection, kind, id)
    WHERE s.id = w.id AND s.connection = w.connection AND s.kind = w.kind AND s.state = 'new'
    RETURNING 1)
SELECT guard((SELECT count(*) FROM taken), $4, 'DB002', 'connection_secret')
