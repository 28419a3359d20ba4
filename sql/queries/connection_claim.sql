-- connection_claim(id text, intent text, now timestamptz, mine timestamptz) -> the sealed secrets of the call; no row: it was claimed before, or is no longer intended
-- Whoever gets the row sends, and nobody else ever does. mine: when the same caller tried before and lost the
-- acknowledgement, null: it did not. Nobody else claims at that time: where ours was made, theirs found it claimed.
UPDATE connection c SET intent_sent_at = $3::timestamptz
WHERE c.id = $1::text AND c.intent_id = $2::text::uuid
    AND (c.intent_sent_at IS NULL OR c.intent_sent_at = $4::timestamptz)
RETURNING c.access_token, c.refresh_token, c.device_code, c.orphan_token,
    (SELECT s.id::text FROM connection_secret s WHERE s.connection = c.id AND s.kind = 'client_secret' AND s.state = 'current') AS client_secret_id,
    (SELECT s.sealed FROM connection_secret s WHERE s.connection = c.id AND s.kind = 'client_secret' AND s.state = 'current') AS client_secret,
    (SELECT s.id::text FROM connection_secret s WHERE s.connection = c.id AND s.kind = 'private_key' AND s.state = 'current') AS private_key_id,
    (SELECT s.sealed FROM connection_secret s WHERE s.connection = c.id AND s.kind = 'private_key' AND s.state = 'current') AS private_key,
    (SELECT s.id::text FROM connection_secret s WHERE s.connection = c.id AND s.kind = 'refresh_token' AND s.state = 'current') AS brought_id,
    (SELECT s.sealed FROM connection_secret s WHERE s.connection = c.id AND s.kind = 'refresh_token' AND s.state = 'current') AS brought,
    (SELECT s.id::text FROM connection_secret s WHERE s.connection = c.id AND s.kind = 'code' AND s.state = 'current') AS code_id,
    (SELECT s.sealed FROM connection_secret s WHERE s.connection = c.id AND s.kind = 'code' AND s.state = 'current') AS code,
    (SELECT o.id::text FROM oauth_state o WHERE o.connection = c.id AND o.used_at IS NOT NULL) AS state_id,
    (SELECT o.verifier FROM oauth_state o WHERE o.connection = c.id AND o.used_at IS NOT NULL) AS verifier,
    (SELECT o.redirect_uri FROM oauth_state o WHERE o.connection = c.id AND o.used_at IS NOT NULL) AS redirect_uri
