-- workflow_dependency_drop(connection text[])
DELETE FROM workflow_dependency WHERE connection = ANY ($1::text[])
