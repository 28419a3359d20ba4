-- shadow_rows(consumer text, shard int, subject text, key text, digest bytea, letter bigint) -> what text, id text, row text
-- What a command may change, as it stands in this transaction: read before and after, the difference is what the
-- command does. No sealed keys, and of messages no bytes.
WITH live AS (
    SELECT * FROM sessions WHERE id = substr($3, strpos($3, '/') + 1) OR (user_id = $4 AND status <> 'terminated'))
SELECT 'sessions' AS what, id, to_jsonb(s)::text AS row FROM live s
UNION ALL SELECT 'users', id, to_jsonb(u)::text FROM users u WHERE id = $4
UNION ALL SELECT 'personal_access_token', id::text, to_jsonb(t)::text FROM personal_access_token t
          WHERE 'token/' || id = $3
UNION ALL SELECT 'connection', id, (to_jsonb(c) - '{access_token,refresh_token,device_code,orphan_token}'::text[])::text
          FROM connection c WHERE $3 LIKE 'connection/%' AND id = substr($3, 12)
UNION ALL SELECT 'connection_secret', id::text, (to_jsonb(c) - 'sealed')::text
          FROM connection_secret c WHERE $3 LIKE 'connection/%' AND connection = substr($3, 12) AND state = 'current'
UNION ALL SELECT 'workflow', f.id, to_jsonb(f)::text FROM workflow f
          WHERE ($3 LIKE 'workflow/%' AND f.id = substr($3, 10)) OR ($3 LIKE 'connection/%' AND f.id IN
              (SELECT d.workflow FROM workflow_dependency d WHERE d.connection = substr($3, 12)))
UNION ALL SELECT 'workflow_dependency', workflow || ' ' || connection, to_jsonb(d)::text FROM workflow_dependency d
          WHERE connection = substr($3, 12) OR workflow = substr($3, 10)
UNION ALL SELECT 'address_lease', session_id, to_jsonb(a)::text FROM address_lease a WHERE session_id IN (SELECT id FROM live)
UNION ALL SELECT 'client_config', session_id, (to_jsonb(c) - 'client_private_key')::text
          FROM client_config c WHERE session_id IN (SELECT id FROM live)
UNION ALL SELECT 'infrastructure_state', '1', to_jsonb(i)::text FROM infrastructure_state i
UNION ALL SELECT 'pending', subject || ' ' || pos, (to_jsonb(p) - '{key,headers,value}'::text[])::text
          FROM pending p WHERE consumer = $1 AND shard = $2 AND subject = $3
UNION ALL SELECT 'inbox', encode(digest, 'hex'), to_jsonb(i)::text FROM inbox i WHERE digest = $5
UNION ALL SELECT 'dead_letter', id::text,
                 (to_jsonb(d) - '{key,headers,value,original_headers,original_value,replay_token}'::text[])::text
          FROM dead_letter d WHERE id = $6 OR replay_of = $6
UNION ALL SELECT 'subject_stream', subject, to_jsonb(s)::text
          FROM subject_stream s WHERE subject IN ($3, 'deadletter/' || $6)
