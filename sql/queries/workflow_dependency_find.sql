-- workflow_dependency_find(workflow text[], connection text[]) -> workflow text, connection text, depends boolean, dependants bigint
SELECT w.workflow, w.connection,
       EXISTS (SELECT FROM workflow_dependency d WHERE d.workflow = w.workflow AND d.connection = w.connection) AS depends,
       (SELECT count(*) FROM workflow_dependency d WHERE d.connection = w.connection) AS dependants
FROM unnest($1::text[], $2::text[]) AS w (workflow, connection)
