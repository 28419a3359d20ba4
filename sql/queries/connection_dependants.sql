-- connection_dependants(connection text[]) -> connection text, workflow text
SELECT d.connection, d.workflow FROM workflow_dependency d WHERE d.connection = ANY ($1::text[])
ORDER BY d.connection, d.workflow
