-- workflow_dependency_add(workflow text[], connection text[], now timestamptz, rows bigint) -> guard void
-- Only upon connections that are there and stay: their rows are locked, so that none is deleted at the same moment.
WITH asked AS (SELECT * FROM unnest($1::text[], $2::text[]) AS w (workflow, connection)),
there AS (
    SELECT c.id FROM connection c WHERE c.id IN (SELECT connection FROM asked) AND c.deleted_at IS NULL AND NOT c.deleting
    ORDER BY c.id FOR SHARE OF c),
made AS (
    INSERT INTO workflow_dependency (workflow, connection, made_at)
    SELECT a.workflow, a.connection, $3::timestamptz FROM asked a JOIN there t ON t.id = a.connection
    RETURNING 1)
SELECT guard((SELECT count(*) FROM made), $4, 'DB002', 'workflow_dependency')
