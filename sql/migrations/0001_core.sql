-- The engine's tables and the resources of the first floor. Forward only; each file runs in one
-- transaction. Times are timestamptz, written by the workers (never now() in a decision).

-- Guards: every conditional write ends in one of these, so that a miss raises inside SQL and the
-- whole pipeline segment fails (HAZARDS H4). DB001: the shard is not ours any more. DB002: a row
-- changed under us, decide again under locks.
CREATE FUNCTION guard(actual bigint, expected bigint, code text, what text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF actual IS DISTINCT FROM expected THEN
        RAISE EXCEPTION '%: % of % rows', what, actual, expected USING ERRCODE = code;
    END IF;
END $$;

-- One row per shard of a consumer: the authority on positions (DESIGN: Shards).
-- next_offset: [1] main topic, [2..10] the tiers 1s 2s 4s 5s 15s 1m 5m 15m 1h; -1: no such topic.
CREATE TABLE shard (
    consumer    text     NOT NULL,
    n           int      NOT NULL,
    epoch       bigint   NOT NULL DEFAULT 0,
    next_offset bigint[] NOT NULL,
    ledger_seq  bigint   NOT NULL DEFAULT 0,
    published   bigint   NOT NULL DEFAULT 0,
    owner       text,    -- who raised the epoch last, for people
    owner_pid   int,     -- the backend that did, for the freeing of frozen twins
    PRIMARY KEY (consumer, n),
    CHECK (published <= ledger_seq)
) WITH (fillfactor = 50);

-- Publishers' duplicates: one row per command, kept for the inbox horizon.
-- outcome: o open, a applied, r rejected, d dead, c cancelled. event_*: the ledger row of the
-- event that ended it.
CREATE TABLE inbox (
    day         date     NOT NULL, -- of ce_time, which a resend repeats
    digest      bytea    NOT NULL, -- 16 bytes of source and id
    payload     bytea    NOT NULL, -- 16 bytes of the rest: tells a resend from a reuse
    outcome     "char"   NOT NULL,
    consumer    text     NOT NULL,
    shard       int      NOT NULL,
    event_seq   bigint,
    event_day   date,
    PRIMARY KEY (day, digest)
) PARTITION BY RANGE (day);

-- Outgoing messages and the biography of every command. One fenced writer per shard counts seq.
CREATE TABLE ledger (
    day         date     NOT NULL,
    consumer    text     NOT NULL,
    shard       int      NOT NULL,
    seq         bigint   NOT NULL,
    at          timestamptz NOT NULL,
    topic       text     NOT NULL,
    key         bytea,
    headers     bytea    NOT NULL, -- header_block
    value       bytea,
    ce_id       text,
    type        text,
    subject     text,
    sequence    bigint,            -- of the subject; null for what is no event
    command     bytea,             -- digest of the command it came from
    outcome     text,              -- done refused cancelled dead, on the event that ends a command
    prev_consumer text, prev_shard int, prev_seq bigint, -- the subject's event before this one
    PRIMARY KEY (consumer, shard, seq, day)
) PARTITION BY RANGE (day);
CREATE INDEX ledger_command ON ledger (command);

-- What is not settled. The rows of one subject that are not scheduled, in pos order, are its lane.
CREATE TABLE pending (
    consumer    text     NOT NULL,
    shard       int      NOT NULL,
    subject     text     NOT NULL, -- the lane
    pos         bigint   NOT NULL,
    digest      bytea    NOT NULL,
    day         date     NOT NULL, -- with digest: the inbox key
    command_id  text     NOT NULL,
    type        text     NOT NULL,
    state       text     NOT NULL CHECK (state IN
                ('effect', 'tier', 'timed', 'scheduled', 'follower', 'held')),
    compensating boolean NOT NULL DEFAULT false,
    attempt     int      NOT NULL,
    due_at      timestamptz,
    accepted_at timestamptz NOT NULL,
    first_failed_at timestamptz,
    error_code  text, error_class text, error_message text,
    topic       text     NOT NULL, -- the record as it came
    partition   int      NOT NULL,
    record_offset bigint NOT NULL,
    record_at   timestamptz,
    key         bytea,
    headers     bytea    NOT NULL,
    value       bytea    NOT NULL,
    PRIMARY KEY (consumer, shard, subject, pos)
) WITH (fillfactor = 80);
CREATE INDEX pending_due ON pending (consumer, shard, due_at) WHERE state IN ('timed', 'scheduled', 'tier');
CREATE INDEX pending_digest ON pending (digest);

-- Sequence of subjects that have no row of their own (a refused start, a dead letter).
CREATE TABLE subject_stream (
    subject        text   PRIMARY KEY,
    sequence       bigint NOT NULL,
    event_consumer text   NOT NULL,
    event_shard    int    NOT NULL,
    event_seq      bigint NOT NULL
) WITH (fillfactor = 80);

CREATE TABLE dead_letter (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer    text   NOT NULL,
    shard       int    NOT NULL,
    state       text   NOT NULL DEFAULT 'parked'
                CHECK (state IN ('parked', 'replaying', 'resolved', 'discarded')),
    died_at     timestamptz NOT NULL,
    digest      bytea,
    command_id  text, type text, source text, subject text, tenant text,
    class       text   NOT NULL,
    code        text   NOT NULL,
    message     text   NOT NULL,
    problems    jsonb  NOT NULL DEFAULT '[]',
    attempts    int    NOT NULL,
    first_failed_at timestamptz,
    topic       text   NOT NULL, partition int NOT NULL, record_offset bigint NOT NULL,
    record_at   timestamptz,
    key         bytea, headers bytea NOT NULL, value bytea,
    traceparent text,
    worker_version text NOT NULL
);
CREATE INDEX dead_letter_parked ON dead_letter (consumer, died_at) WHERE state = 'parked';
CREATE INDEX dead_letter_digest ON dead_letter (digest);

-- ── Resources ────────────────────────────────────────────────────────────────────────────────
-- version: raised by each committed batch that changed the row, the guard of every write.
-- sequence, event_*: the resource's event stream (DESIGN: ledger).

CREATE TABLE users (
    id             text    PRIMARY KEY,
    tenant         text    NOT NULL,
    email          text, display_name text,
    auth_method    text    NOT NULL DEFAULT 'apikey' CHECK (auth_method IN ('apikey', 'azuread')),
    api_key_hash   text, directory_object_id text,
    allowed_source_ips jsonb,
    is_active      boolean NOT NULL,
    removing       boolean NOT NULL DEFAULT false,
    removed        boolean NOT NULL DEFAULT false,
    quota_max_concurrent_sessions int NOT NULL CHECK (quota_max_concurrent_sessions BETWEEN 1 AND 3),
    quota_max_sessions_per_day    int NOT NULL CHECK (quota_max_sessions_per_day >= 1),
    total_sessions_created bigint NOT NULL DEFAULT 0,
    sessions_today bigint  NOT NULL DEFAULT 0,
    today          bigint  NOT NULL DEFAULT 0, -- UTC day number that sessions_today counts for
    last_session_at timestamptz,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    version        bigint  NOT NULL,
    sequence       bigint  NOT NULL,
    event_consumer text, event_shard int, event_seq bigint
) WITH (fillfactor = 70);

CREATE TABLE sessions (
    id             text    PRIMARY KEY,
    user_id        text    NOT NULL,
    shard          int     NOT NULL, -- partition of its key: who looks after what falls due
    status         text    NOT NULL CHECK (status IN
                   ('provisioning', 'active', 'idle', 'terminating', 'terminated')),
    reason         text    CHECK (reason IN ('stopped', 'idle', 'failed', 'cancelled', 'superseded',
                                             'lost', 'user_removed')),
    cancelling     boolean NOT NULL,
    tombstone      boolean NOT NULL,
    driver         text    NOT NULL,
    profile        text,
    provider_instance_id text, public_ip_address text,
    vpn_port       int     CHECK (vpn_port BETWEEN 1024 AND 65535),
    server_endpoint text, server_public_key text, client_public_key text,
    client_ip_address text,
    allowed_ips    text, dns_servers text,
    created_at     timestamptz NOT NULL,
    activated_at   timestamptz,
    last_activity_at timestamptz,
    idle_at        timestamptz, -- when it falls due; null: never
    terminating_at timestamptz,
    terminated_at  timestamptz,
    idle_timeout_minutes int NOT NULL CHECK (idle_timeout_minutes BETWEEN 1 AND 1440),
    provision_attempts   int NOT NULL CHECK (provision_attempts BETWEEN 0 AND 3),
    error_code     text, error_message text,
    rx_bytes       bigint  NOT NULL, tx_bytes bigint NOT NULL,
    rx_mark        bigint  NOT NULL, rx_mark_at timestamptz,
    stop_command   jsonb,  -- the stop that waits for provisioning to end it
    start_digest   bytea,  -- of the start that made it
    version        bigint  NOT NULL,
    sequence       bigint  NOT NULL,
    event_consumer text, event_shard int, event_seq bigint,
    CHECK ((status = 'terminated') = (terminated_at IS NOT NULL)),
    CHECK (status <> 'terminated' OR client_ip_address IS NULL),
    CHECK (status NOT IN ('active', 'idle') OR client_ip_address IS NOT NULL)
) WITH (fillfactor = 70);
CREATE INDEX sessions_live ON sessions (user_id) WHERE status <> 'terminated';
CREATE UNIQUE INDEX sessions_key ON sessions (client_public_key) WHERE status <> 'terminated';
CREATE INDEX sessions_due ON sessions (shard, idle_at) WHERE idle_at IS NOT NULL;
CREATE INDEX sessions_user ON sessions (user_id, created_at DESC);
CREATE INDEX sessions_status ON sessions (status, created_at DESC);

-- Illegal transitions are impossible in SQL too (V-01); the same table as session_transition_legal.
CREATE FUNCTION session_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = NEW.status
       OR (OLD.status = 'provisioning' AND NEW.status IN ('active', 'idle', 'terminating', 'terminated'))
       OR (OLD.status = 'active' AND NEW.status IN ('idle', 'terminating', 'terminated'))
       OR (OLD.status = 'idle' AND NEW.status IN ('terminating', 'terminated'))
       OR (OLD.status = 'terminating' AND NEW.status = 'terminated') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'session %: illegal transition % -> %', OLD.id, OLD.status, NEW.status
        USING ERRCODE = 'DB003';
END $$;
CREATE TRIGGER sessions_transition BEFORE UPDATE OF status ON sessions
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION session_transition();

-- Who holds which address: the primary key is the conflict detection (V-03).
CREATE TABLE address_lease (
    pool       text   NOT NULL, -- CIDR
    idx        bigint NOT NULL,
    session_id text   NOT NULL UNIQUE,
    PRIMARY KEY (pool, idx)
);

-- V-02. The file and its QR code are made when asked for, from these fields; the private key is
-- sealed (core/seal.h), place "client_config/<session_id>/client_private_key".
CREATE TABLE client_config (
    config_id      text   PRIMARY KEY,
    session_id     text   NOT NULL UNIQUE,
    user_id        text   NOT NULL,
    client_public_key text NOT NULL,
    client_private_key bytea,      -- null: the client sent its own public key
    client_ip_address text NOT NULL,
    server_public_key text,        -- known when the session is active
    server_endpoint   text,
    allowed_ips    text   NOT NULL,
    dns_servers    text   NOT NULL,
    keepalive      int    NOT NULL,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz     -- set when the session ends
);

CREATE TABLE download_token (
    hash           bytea  PRIMARY KEY, -- BLAKE2b-256 of the token; the token itself is nowhere
    session_id     text   NOT NULL,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    downloads_left int    NOT NULL CHECK (downloads_left >= 0),
    revoked_at     timestamptz
);
CREATE INDEX download_token_session ON download_token (session_id);

-- V-06: one row per deployment, changed in the transaction that changes the sessions.
CREATE TABLE infrastructure_state (
    singleton      boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    capacity       bigint  NOT NULL DEFAULT 3 CHECK (capacity >= 0),
    active_instances bigint NOT NULL DEFAULT 0,
    active_sessions  bigint NOT NULL DEFAULT 0,
    total_provisioning_attempts bigint NOT NULL DEFAULT 0,
    total_provisioning_failures bigint NOT NULL DEFAULT 0,
    total_bytes_transferred     bigint NOT NULL DEFAULT 0,
    current_cost_estimate_micros bigint NOT NULL DEFAULT 0,
    quota_limit_reached boolean GENERATED ALWAYS AS (active_instances >= capacity) STORED,
    last_updated   timestamptz,
    CONSTRAINT infrastructure_counts CHECK (0 <= active_sessions AND active_sessions <= active_instances)
) WITH (fillfactor = 20);
INSERT INTO infrastructure_state DEFAULT VALUES;

-- V-05, daily partitions, dropped after audit_days.
CREATE TABLE operational_event (
    event_date  date   NOT NULL,
    event_id    text   NOT NULL,
    timestamp   timestamptz NOT NULL,
    event_type  text   NOT NULL,
    type        text   NOT NULL, -- the CloudEvents type it came from
    subject     text   NOT NULL,
    sequence    bigint NOT NULL,
    user_id     text, session_id text,
    outcome     text   NOT NULL CHECK (outcome IN ('success', 'failure', 'warning')),
    message     text   NOT NULL CHECK (length(message) <= 2000),
    metadata    jsonb  NOT NULL,
    ip_address  text,
    duration_ms bigint,
    correlation_id text, causation_id text,
    PRIMARY KEY (event_date, subject, sequence)
) PARTITION BY RANGE (event_date);
CREATE INDEX operational_event_session ON operational_event (session_id, timestamp);
CREATE INDEX operational_event_correlation ON operational_event (correlation_id);

-- Running workers, for people and `drawbridge status`; nothing is decided from it.
CREATE TABLE worker_instance (
    instance    text   PRIMARY KEY,
    worker      text   NOT NULL,
    version     text   NOT NULL,
    host        text   NOT NULL,
    pid         int    NOT NULL,
    metrics_url text,
    shards      int[]  NOT NULL,
    started_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL
);

-- ── Day partitions ───────────────────────────────────────────────────────────────────────────
-- Made and dropped by functions of the owner, so that workers need no DDL right.

CREATE FUNCTION day_partitions_make(parent text, first date, last date) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE d date; made int := 0; name text;
BEGIN
    IF parent NOT IN ('inbox', 'ledger', 'operational_event') THEN
        RAISE EXCEPTION 'no day partitions on %', parent;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('drawbridge.day_partitions'));
    FOR d IN SELECT generate_series(first, last, '1 day')::date LOOP
        name := format('%s_%s', parent, to_char(d, 'YYYYMMDD'));
        IF to_regclass(name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                           name, parent, d, d + 1);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;

-- Drops the partitions of days before `before`. A day of the ledger stays while any shard has
-- something unpublished in it or before it.
CREATE FUNCTION day_partitions_drop(parent text, before date) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE part record; dropped int := 0; busy boolean;
BEGIN
    IF parent NOT IN ('inbox', 'ledger', 'operational_event') THEN
        RAISE EXCEPTION 'no day partitions on %', parent;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('drawbridge.day_partitions'));
    FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = parent::regclass
                  AND c.relname ~ (parent || '_[0-9]{8}$')
                  AND to_date(right(c.relname, 8), 'YYYYMMDD') < before ORDER BY 1 LOOP
        IF parent = 'ledger' THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %I l JOIN shard s ON s.consumer = l.consumer
                            AND s.n = l.shard WHERE l.seq > s.published)', part.relname) INTO busy;
            EXIT WHEN busy;
        END IF;
        EXECUTE format('DROP TABLE %I', part.relname);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

SELECT day_partitions_make('inbox', current_date - 8, current_date + 2);
SELECT day_partitions_make('ledger', current_date - 1, current_date + 2);
SELECT day_partitions_make('operational_event', current_date - 6, current_date + 2);

-- A process frozen in the middle of a pipeline segment keeps its locks, and no server time-out
-- frees them (H22): ends the backends that raised the epoch of these shards last and have not
-- moved for stall_ms. Called when the raising of an epoch waits for a second.
CREATE FUNCTION shard_unfreeze(consumer_ text, shards int[], stall_ms int) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a
    WHERE a.pid <> pg_backend_pid() AND a.application_name = 'drawbridge' AND a.state <> 'idle'
      AND a.pid IN (SELECT s.owner_pid FROM shard s WHERE s.consumer = consumer_ AND s.n = ANY (shards))
      AND a.state_change < clock_timestamp() - make_interval(secs => stall_ms / 1000.0)
$$;

-- ── Roles ────────────────────────────────────────────────────────────────────────────────────
-- Workers take the role at connect (S13): no DDL, no DELETE on ledger, inbox and audit.
DO $$
DECLARE r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['drawbridge_worker', 'drawbridge_gateway', 'drawbridge_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', r);
        EXCEPTION WHEN duplicate_object THEN NULL;
        END;
        EXECUTE format('GRANT %I TO CURRENT_USER', r);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', r);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA public TO %I', r);
    END LOOP;
END $$;
REVOKE SELECT ON client_config, download_token FROM drawbridge_reader;
GRANT INSERT, UPDATE ON shard, inbox, ledger, pending, subject_stream, dead_letter, users, sessions,
    address_lease, client_config, download_token, infrastructure_state, operational_event,
    worker_instance TO drawbridge_worker;
GRANT DELETE ON pending, address_lease, worker_instance TO drawbridge_worker;
REVOKE EXECUTE ON FUNCTION day_partitions_make, day_partitions_drop, shard_unfreeze FROM PUBLIC;
GRANT EXECUTE ON FUNCTION day_partitions_make, day_partitions_drop, shard_unfreeze TO drawbridge_worker;
