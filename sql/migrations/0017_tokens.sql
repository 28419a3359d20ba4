-- Personal access tokens (T-01): what they may do and until when, and beside it what their secrets
-- are compared with. A secret is born at the edge and never on the queue: its hashes are here, in
-- state `new`, before a command names them; the command's transaction takes them.

CREATE TABLE personal_access_token (
    id           uuid    PRIMARY KEY, -- the 16 bytes in the token's text
    owner        text    NOT NULL,    -- a user id, or the name of a service
    shard        int     NOT NULL,    -- partition of its key: who looks after what falls due
    name         text    NOT NULL,
    description  text,
    status       text    NOT NULL CHECK (status IN ('active', 'revoked', 'expired')),
    prefix       text    NOT NULL,    -- how its text begins, for people
    created_by   text    NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    rotated_at   timestamptz,
    expires_at   timestamptz,         -- null: never
    revoked_at   timestamptz,
    revision     bigint  NOT NULL,    -- raised by each change, for whoever changes what was read
    last_used_at timestamptz,         -- written by the edge, of no decision
    last_used_ip text,
    version      bigint  NOT NULL,
    sequence     bigint  NOT NULL,
    event_consumer text, event_shard int, event_seq bigint,
    event_key    text,                -- null: the owner
    CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
) WITH (fillfactor = 70);
-- A name is free again when its token is revoked, and that is for ever.
CREATE UNIQUE INDEX personal_access_token_name ON personal_access_token (owner, name)
    WHERE status <> 'revoked';
CREATE INDEX personal_access_token_due ON personal_access_token (shard, expires_at)
    WHERE status = 'active' AND expires_at IS NOT NULL;
CREATE INDEX personal_access_token_made ON personal_access_token (created_at, id);

CREATE FUNCTION token_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'token %: it was revoked, that is final', OLD.id USING ERRCODE = 'DB003';
END $$;
CREATE TRIGGER token_revoked BEFORE UPDATE OF status ON personal_access_token
    FOR EACH ROW WHEN (OLD.status = 'revoked' AND NEW.status <> 'revoked')
    EXECUTE FUNCTION token_transition();

CREATE TABLE token_scope (
    token_id uuid NOT NULL REFERENCES personal_access_token ON DELETE CASCADE,
    scope    text NOT NULL,
    pos      int  NOT NULL, -- as they were asked for
    PRIMARY KEY (token_id, scope)
);

-- Of a token (token_id), or a user's API key (user_id). hmac: HMAC-SHA256 under the pepper of that
-- version; legacy_sha256: of a key from an older system, until its first use.
CREATE TABLE token_secret (
    id            uuid     PRIMARY KEY,
    token_id      uuid,
    user_id       text,
    hmac          bytea    CHECK (length(hmac) = 32),
    pepper        smallint,
    argon2id      text,
    legacy_sha256 bytea    CHECK (length(legacy_sha256) = 32),
    made_at       timestamptz NOT NULL,
    state         text     NOT NULL CHECK (state IN ('new', 'current', 'previous')),
    valid_until   timestamptz, -- of `previous`: the end of its grace
    checked_at    timestamptz, -- when hmac and argon2id were last seen to agree
    CHECK ((token_id IS NULL) <> (user_id IS NULL)),
    CHECK ((hmac IS NULL) = (pepper IS NULL) AND (hmac IS NULL) = (argon2id IS NULL)),
    CHECK ((hmac IS NULL) <> (legacy_sha256 IS NULL)),
    CHECK ((state = 'previous') = (valid_until IS NOT NULL))
);
CREATE UNIQUE INDEX token_secret_current ON token_secret (token_id) WHERE state = 'current';
CREATE UNIQUE INDEX token_secret_previous ON token_secret (token_id) WHERE state = 'previous';
CREATE INDEX token_secret_new ON token_secret (made_at) WHERE state = 'new';
CREATE INDEX token_secret_over ON token_secret (valid_until) WHERE state = 'previous';
CREATE UNIQUE INDEX token_secret_user ON token_secret (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX token_secret_legacy ON token_secret (legacy_sha256) WHERE legacy_sha256 IS NOT NULL;
CREATE INDEX token_secret_key ON token_secret (hmac) WHERE user_id IS NOT NULL;

-- The keys of the HMACs, sealed under the master key, place "token_pepper/<version>/key".
CREATE TABLE token_pepper (
    version smallint    PRIMARY KEY CHECK (version > 0),
    sealed  bytea       NOT NULL,
    made_at timestamptz NOT NULL
);

-- API keys move to where the other hashes are (T-12).
INSERT INTO token_secret (id, user_id, legacy_sha256, made_at, state)
SELECT gen_random_uuid(), id, decode(api_key_hash, 'hex'), updated_at, 'current'
FROM users WHERE api_key_hash ~ '^[0-9a-f]{64}$' AND NOT removed;
ALTER TABLE users DROP COLUMN api_key_hash;

GRANT SELECT ON personal_access_token, token_scope TO drawbridge_worker, drawbridge_gateway, drawbridge_reader;
GRANT SELECT ON token_secret, token_pepper TO drawbridge_worker, drawbridge_gateway;
GRANT SELECT (id, token_id, user_id, made_at, state, valid_until, checked_at) ON token_secret TO drawbridge_reader;
GRANT INSERT, UPDATE, DELETE ON token_scope, token_secret TO drawbridge_worker;
GRANT INSERT, UPDATE ON personal_access_token TO drawbridge_worker;
GRANT UPDATE (last_used_at, last_used_ip) ON personal_access_token TO drawbridge_gateway;
GRANT INSERT ON token_secret TO drawbridge_gateway;
GRANT UPDATE (hmac, pepper, argon2id, legacy_sha256, checked_at) ON token_secret TO drawbridge_gateway;
