-- OAuth connections (O-01) and the workflows that use them (O-10 … O-12). ADR 0017.

CREATE TABLE connection (
    id                text   PRIMARY KEY CHECK (id ~ '^[^/]+/[^/]+$'), -- <org>/<name>
    org               text   NOT NULL GENERATED ALWAYS AS (split_part(id, '/', 1)) STORED,
    name              text   NOT NULL GENERATED ALWAYS AS (split_part(id, '/', 2)) STORED,
    shard             int    NOT NULL, -- partition of its key: who looks after what falls due
    flow              text   NOT NULL CHECK (flow IN ('authorization_code', 'client_credentials', 'refresh_token')),
    provider          text,
    client_id         text   NOT NULL,
    client_auth       text,
    authorization_url text,
    token_url         text   NOT NULL,
    issuer            text,
    redirect_uri      text,
    scopes            text,
    created_by        text   NOT NULL,
    status            text   NOT NULL CHECK (status IN ('not_connected', 'waiting_callback', 'testing', 'completed', 'failed')),
    reason            text,
    message           text,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    last_refresh_at   timestamptz,
    last_test_at      timestamptz,
    completed_at      timestamptz, -- first, as it is configured now
    expires_at        timestamptz, -- of the access token
    renew_at          timestamptz,
    due_at            timestamptz, -- looked at without being asked
    config_version    bigint NOT NULL,
    generation        bigint NOT NULL,
    revision          bigint NOT NULL,
    reconnect         boolean NOT NULL,
    doubt_at          timestamptz, -- when the refresh token was first sent without an answer
    failures          int    NOT NULL,
    token_type        text,
    granted           text,
    instance_url      text,        -- what the token answer said (Salesforce)
    endpoints         text,        -- what discovery said, JSON
    waiting_until     timestamptz,
    user_code         text,
    verification_uri  text,
    poll_every_ms     bigint NOT NULL,
    deleting          boolean NOT NULL,
    deleted_at        timestamptz, -- the row stays, so that both counters go on
    intent_id         uuid,
    intent_ask        text,
    intent_generation bigint,
    intent_config     bigint,
    intent_at         timestamptz,
    intent_sent_at    timestamptz, -- written by connection_claim alone
    intent_command    bytea,
    -- Sealed, place connection/<id>/token.
    access_token      bytea,
    refresh_token     bytea,
    device_code       bytea,
    orphan_token      bytea, -- of a late answer, until it is revoked
    version           bigint NOT NULL,
    sequence          bigint NOT NULL,
    event_consumer text, event_shard int, event_seq bigint,
    event_key         text, -- null: the id
    CHECK ((intent_id IS NULL) = (intent_ask IS NULL)),
    CHECK (intent_id IS NOT NULL OR intent_sent_at IS NULL),
    CHECK (deleted_at IS NULL OR (access_token IS NULL AND refresh_token IS NULL AND device_code IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX connection_due ON connection (shard, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX connection_named ON connection (org, name) WHERE deleted_at IS NULL;

CREATE FUNCTION connection_backwards() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'connection %: generation and config_version never fall', OLD.id USING ERRCODE = 'DB003';
END $$;
CREATE TRIGGER connection_backwards BEFORE UPDATE OF generation, config_version ON connection
    FOR EACH ROW WHEN (NEW.generation < OLD.generation OR NEW.config_version < OLD.config_version)
    EXECUTE FUNCTION connection_backwards();

-- What is brought to a connection: born at the edge in state `new` before a command names it, taken by
-- that command's transaction (ADR 0014). Sealed, place connection_secret/<id>/value.
CREATE TABLE connection_secret (
    id         uuid  PRIMARY KEY,
    connection text  NOT NULL,
    kind       text  NOT NULL CHECK (kind IN ('client_secret', 'private_key', 'refresh_token', 'code')),
    sealed     bytea NOT NULL,
    made_at    timestamptz NOT NULL,
    state      text  NOT NULL CHECK (state IN ('new', 'current'))
);
CREATE UNIQUE INDEX connection_secret_current ON connection_secret (connection, kind) WHERE state = 'current';
CREATE INDEX connection_secret_new ON connection_secret (made_at) WHERE state = 'new';

-- An authorization under way (O-03): found by the digest of the state that the provider brings back.
CREATE TABLE oauth_state (
    id             uuid   PRIMARY KEY,
    digest         bytea  NOT NULL UNIQUE CHECK (length(digest) = 32),
    connection     text   NOT NULL,
    config_version bigint NOT NULL, -- of the connection when it began
    requester      text   NOT NULL,
    binding        bytea,           -- digest of the requester's cookie; null: none was set
    verifier       bytea  NOT NULL, -- PKCE, sealed, place oauth_state/<id>/verifier
    redirect_uri   text   NOT NULL,
    issuer         text,
    created_at     timestamptz NOT NULL,
    until          timestamptz NOT NULL,
    used_at        timestamptz,
    intent         uuid             -- the exchange that uses the verifier; null: an error came back
);
CREATE INDEX oauth_state_until ON oauth_state (until);
CREATE INDEX oauth_state_used ON oauth_state (connection) WHERE used_at IS NOT NULL;

CREATE TABLE workflow (
    id                 text    PRIMARY KEY CHECK (id ~ '^[^/]+/[^/]+$'), -- <org>/<name>
    shard              int     NOT NULL,
    disabled           boolean NOT NULL,
    reason             text,
    disabled_by        text,
    related_connection text,
    disabled_at        timestamptz,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    revision           bigint  NOT NULL,
    version            bigint  NOT NULL,
    sequence           bigint  NOT NULL,
    event_consumer text, event_shard int, event_seq bigint,
    event_key          text, -- null: the id
    CHECK (disabled = (disabled_at IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX workflow_disabled ON workflow (disabled_at, id) WHERE disabled;

CREATE TABLE workflow_dependency (
    workflow   text NOT NULL REFERENCES workflow,
    connection text NOT NULL,
    made_at    timestamptz NOT NULL,
    PRIMARY KEY (workflow, connection)
);
CREATE INDEX workflow_dependency_connection ON workflow_dependency (connection, workflow);

GRANT SELECT, INSERT, UPDATE ON connection, workflow TO drawbridge_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON connection_secret, oauth_state, workflow_dependency TO drawbridge_worker;
-- The edge opens access tokens, and nothing that makes them.
GRANT SELECT (id, org, name, shard, flow, provider, client_id, client_auth, authorization_url, token_url, issuer,
    redirect_uri, scopes, created_by, status, reason, message, created_at, updated_at, last_refresh_at, last_test_at,
    completed_at, expires_at, renew_at, due_at, config_version, generation, revision, reconnect, doubt_at, failures,
    token_type, granted, instance_url, endpoints, waiting_until, user_code, verification_uri, poll_every_ms, deleting, deleted_at, intent_id,
    intent_ask, intent_generation, intent_config, intent_at, intent_sent_at, version, sequence, event_consumer,
    event_shard, event_seq, event_key) ON connection TO drawbridge_gateway, drawbridge_reader;
GRANT SELECT (access_token) ON connection TO drawbridge_gateway;
GRANT SELECT ON workflow, workflow_dependency TO drawbridge_gateway, drawbridge_reader;
GRANT SELECT (id, connection, kind, made_at, state) ON connection_secret TO drawbridge_gateway, drawbridge_reader;
GRANT SELECT (id, digest, connection, config_version, requester, binding, redirect_uri, issuer, created_at, until,
    used_at) ON oauth_state TO drawbridge_gateway;
GRANT SELECT (id, connection, config_version, requester, created_at, until, used_at) ON oauth_state TO drawbridge_reader;
GRANT INSERT ON connection_secret, oauth_state TO drawbridge_gateway;
