-- connection_dependants_guard(connection text[], dependants bigint[], rows bigint) -> guard void
-- As many depend on each as were seen. The connections' rows are locked by now: whoever adds one waits.
SELECT guard((SELECT count(*) FROM unnest($1::text[], $2::bigint[]) AS w (connection, dependants)
              WHERE w.dependants = (SELECT count(*) FROM workflow_dependency d WHERE d.connection = w.connection)),
             $3, 'DB002', 'workflow_dependency')
