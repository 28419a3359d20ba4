-- Breakers, and a provider that can be out of order (ADR 0011).

-- One row per process and dependency that it calls: what that process sees. Written when the state
-- changes and with each sign of life; read by people (status, breaker list) and, when a shard that
-- holds commands is opened, for since when the dependency has failed. Decisions are not made from it.
CREATE TABLE breaker (
    instance    text NOT NULL REFERENCES worker_instance ON DELETE CASCADE,
    worker      text NOT NULL,
    dependency  text NOT NULL,
    state       text NOT NULL CHECK (state IN ('closed', 'open', 'probing', 'ramping')),
    since       timestamptz,  -- null: it has never been anything but closed
    failing_at  timestamptz,  -- the first of the failures in a row
    failures    int NOT NULL,
    probe_at    timestamptz,  -- open: when one call may go
    width       int NOT NULL, -- probing, ramping: calls at once
    calls       int NOT NULL, -- under way
    calls_limit int NOT NULL,
    retry_budget_used int NOT NULL, -- per cent; at 100 retries wait
    retries_late bigint NOT NULL,
    seen_at     timestamptz NOT NULL,
    PRIMARY KEY (instance, dependency)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON breaker TO drawbridge_worker;
GRANT SELECT ON breaker TO drawbridge_gateway, drawbridge_reader;

-- What waits is let out in the order in which it came to wait: due_at of a held row.
CREATE INDEX pending_held_order ON pending (consumer, held_by, due_at, subject) WHERE state = 'held';

ALTER TABLE simulated_provider ADD down boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN simulated_provider.down IS
    'Tests and operators set it: then no call is answered, as in an outage.';
