-- connection_lock(id text[]) -> the columns of connection, in the order of store/connection_rows.c
SELECT c.id, c.shard, c.flow, c.provider, c.client_id, c.client_auth, c.authorization_url, c.token_url, c.issuer,
       c.redirect_uri, c.scopes, c.created_by, c.status, c.reason, c.message, c.created_at, c.updated_at,
       c.last_refresh_at, c.last_test_at, c.completed_at, c.expires_at, c.renew_at, c.due_at, c.config_version,
       c.generation, c.revision, c.reconnect, c.doubt_at, c.failures, c.token_type, c.granted, c.waiting_until,
       c.user_code, c.verification_uri, c.poll_every_ms, c.deleting, c.deleted_at, c.intent_id::text, c.intent_ask,
       c.intent_generation, c.intent_config, c.intent_at, c.intent_sent_at, c.intent_command,
       c.access_token IS NOT NULL AS has_access,
       c.refresh_token IS NOT NULL OR EXISTS (SELECT FROM connection_secret s WHERE s.connection = c.id
           AND s.kind = 'refresh_token' AND s.state = 'current') AS has_refresh,
       c.version, c.sequence, c.event_consumer, c.event_shard, c.event_seq, c.event_key,
       c.instance_url, c.endpoints
FROM connection c
WHERE c.id = ANY ($1::text[])
ORDER BY c.id FOR UPDATE OF c
