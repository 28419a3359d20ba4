-- workflow_find(id text[], connection text[]) -> the columns of workflow, in the order of store/workflow_rows.c
-- Those named, and those that depend on the connections named.
SELECT f.id, f.shard, f.disabled, f.reason, f.disabled_by, f.related_connection, f.disabled_at, f.created_at,
       f.updated_at, f.revision, f.version, f.sequence, f.event_consumer, f.event_shard, f.event_seq, f.event_key
FROM workflow f
WHERE f.id IN (
    SELECT unnest($1::text[])
    UNION SELECT d.workflow FROM workflow_dependency d WHERE d.connection = ANY ($2::text[]))
