-- connection_write(id text[], shard int[], flow text[], provider text[], client_id text[], client_auth text[], authorization_url text[], token_url text[], issuer text[], redirect_uri text[], scopes text[], created_by text[], status text[], reason text[], message text[], created_at timestamptz[], updated_at timestamptz[], last_refresh_at timestamptz[], last_test_at timestamptz[], completed_at timestamptz[], expires_at timestamptz[], renew_at timestamptz[], due_at timestamptz[], config_version bigint[], generation bigint[], revision bigint[], reconnect boolean[], doubt_at timestamptz[], failures int[], token_type text[], granted text[], waiting_until timestamptz[], user_code text[], verification_uri text[], poll_every_ms bigint[], deleting boolean[], deleted_at timestamptz[], intent_id text[], intent_ask text[], intent_generation bigint[], intent_config bigint[], intent_at timestamptz[], intent_command bytea[], access_token bytea[], refresh_token bytea[], device_code bytea[], orphan_token bytea[], gone text[], version bigint[], sequence bigint[], event_consumer text[], event_shard int[], event_seq bigint[], event_key text[], intent_seen timestamptz[], instance_url text[], endpoints text[], rows bigint) -> guard void
-- gone: letters of the tokens that go: a access, r refresh, d device, o orphan; one that is given stays or comes. Whoever
-- claims an intent writes intent_sent_at: it is kept as long as the intent is, and who gives an intent up has seen it
-- (intent_seen), or is in conflict with the claim.
WITH w AS (
    SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::timestamptz[],
        $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[], $21::timestamptz[],
        $22::timestamptz[], $23::timestamptz[], $24::bigint[], $25::bigint[], $26::bigint[], $27::boolean[],
        $28::timestamptz[], $29::int[], $30::text[], $31::text[], $32::timestamptz[], $33::text[], $34::text[],
        $35::bigint[], $36::boolean[], $37::timestamptz[], $38::text[], $39::text[], $40::bigint[], $41::bigint[],
        $42::timestamptz[], $43::bytea[], $44::bytea[], $45::bytea[], $46::bytea[], $47::bytea[], $48::text[],
        $49::bigint[], $50::bigint[], $51::text[], $52::int[], $53::bigint[], $54::text[], $55::timestamptz[], $56::text[], $57::text[])
        AS w (id, shard, flow, provider, client_id, client_auth, authorization_url, token_url, issuer, redirect_uri, scopes,
              created_by, status, reason, message, created_at, updated_at, last_refresh_at, last_test_at,
              completed_at, expires_at, renew_at, due_at, config_version, generation, revision, reconnect, doubt_at,
              failures, token_type, granted, waiting_until, user_code, verification_uri, poll_every_ms, deleting,
              deleted_at, intent_id, intent_ask, intent_generation, intent_config, intent_at, intent_command,
              access_token, refresh_token, device_code, orphan_token, gone, version, sequence, event_consumer,
              event_shard, event_seq, event_key, intent_seen,
              instance_url, endpoints)),
made AS (
    INSERT INTO connection (id, shard, flow, provider, client_id, client_auth, authorization_url, token_url, issuer, redirect_uri, scopes,
        created_by, status, reason, message, created_at, updated_at, last_refresh_at, last_test_at, completed_at,
        expires_at, renew_at, due_at, config_version, generation, revision, reconnect, doubt_at, failures,
        token_type, granted, waiting_until, user_code, verification_uri, poll_every_ms, deleting, deleted_at,
        intent_id, intent_ask, intent_generation, intent_config, intent_at, intent_command, access_token,
        refresh_token, device_code, orphan_token, version, sequence, event_consumer, event_shard, event_seq,
        event_key, instance_url, endpoints)
    SELECT w.id, w.shard, w.flow, w.provider, w.client_id, w.client_auth, w.authorization_url, w.token_url, w.issuer,
        w.redirect_uri, w.scopes, w.created_by, w.status, w.reason, w.message, w.created_at, w.updated_at,
        w.last_refresh_at, w.last_test_at, w.completed_at, w.expires_at, w.renew_at, w.due_at, w.config_version,
        w.generation, w.revision, w.reconnect, w.doubt_at, w.failures, w.token_type, w.granted, w.waiting_until,
        w.user_code, w.verification_uri, w.poll_every_ms, w.deleting, w.deleted_at, w.intent_id::uuid, w.intent_ask,
        w.intent_generation, w.intent_config, w.intent_at, w.intent_command, w.access_token, w.refresh_token,
        w.device_code, w.orphan_token, w.version, w.sequence, w.event_consumer, w.event_shard, w.event_seq,
        w.event_key, w.instance_url, w.endpoints
    FROM w WHERE w.version = 1 ORDER BY w.id
    RETURNING 1),
changed AS (
    UPDATE connection c SET flow = w.flow, provider = w.provider, client_id = w.client_id, client_auth = w.client_auth, authorization_url =
        w.authorization_url, token_url = w.token_url, issuer = w.issuer, redirect_uri = w.redirect_uri, scopes =
        w.scopes, created_by = w.created_by, status = w.status, reason = w.reason, message = w.message, created_at =
        w.created_at, updated_at = w.updated_at, last_refresh_at = w.last_refresh_at, last_test_at = w.last_test_at,
        completed_at = w.completed_at, expires_at = w.expires_at, renew_at = w.renew_at, due_at = w.due_at,
        config_version = w.config_version, generation = w.generation, revision = w.revision, reconnect =
        w.reconnect, doubt_at = w.doubt_at, failures = w.failures, token_type = w.token_type, granted = w.granted,
        waiting_until = w.waiting_until, user_code = w.user_code, verification_uri = w.verification_uri,
        poll_every_ms = w.poll_every_ms, deleting = w.deleting, deleted_at = w.deleted_at, intent_id =
        w.intent_id::uuid, intent_ask = w.intent_ask, intent_generation = w.intent_generation, intent_config =
        w.intent_config, intent_at = w.intent_at, intent_command = w.intent_command, access_token = CASE WHEN
        w.access_token IS NULL AND strpos(w.gone, 'a') = 0 THEN c.access_token ELSE w.access_token END,
        refresh_token = CASE WHEN w.refresh_token IS NULL AND strpos(w.gone, 'r') = 0 THEN c.refresh_token ELSE
        w.refresh_token END, device_code = CASE WHEN w.device_code IS NULL AND strpos(w.gone, 'd') = 0 THEN
        c.device_code ELSE w.device_code END, orphan_token = CASE WHEN w.orphan_token IS NULL AND strpos(w.gone,
        'o') = 0 THEN c.orphan_token ELSE w.orphan_token END, version = w.version, sequence = w.sequence,
        event_consumer = w.event_consumer, event_shard = w.event_shard, event_seq = w.event_seq, instance_url =
        w.instance_url, endpoints = w.endpoints, intent_sent_at =
        CASE WHEN c.intent_id = w.intent_id::uuid THEN c.intent_sent_at END
    FROM w WHERE c.id = w.id AND c.version = w.version - 1 AND w.version > 1
      AND (c.intent_id IS NULL OR c.intent_id IS NOT DISTINCT FROM w.intent_id::uuid
           OR c.intent_sent_at IS NOT DISTINCT FROM w.intent_seen)
    RETURNING 1)
SELECT guard((SELECT count(*) FROM made) + (SELECT count(*) FROM changed), $58, 'DB002', 'connections')
