-- workflow_dependency_find(workflow text[], connection text[]) -> workflow text, connection text, depends boolean, dependants bigint, siblings bigint
-- siblings: the dependants that are of the workflow's organisation.
SELECT w.workflow, w.connection,
       EXISTS (SELECT FROM workflow_dependency d WHERE d.workflow = w.workflow AND d.connection = w.connection) AS depends,
       n.dependants, n.siblings
FROM unnest($1::text[], $2::text[]) AS w (workflow, connection),
     LATERAL (SELECT count(*) AS dependants,
                     count(*) FILTER (WHERE split_part(d.workflow, '/', 1) = split_part(w.workflow, '/', 1)) AS siblings
              FROM workflow_dependency d WHERE d.connection = w.connection) AS n
