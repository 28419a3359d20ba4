-- What the `simulated` driver's provider holds (V-20): not Drawbridge's state but the outside
-- world's, kept in the same database so that load tests and drills need nothing else.

CREATE TABLE simulated_provider (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    capacity  integer NOT NULL DEFAULT 1000000 CHECK (capacity >= 0)
);
COMMENT ON TABLE simulated_provider IS
    'One row. Tests and operators change capacity; beyond it every create is answered "quota".';
INSERT INTO simulated_provider DEFAULT VALUES;

CREATE TABLE simulated_instance (
    session_id uuid PRIMARY KEY,
    profile    text,
    stuck      integer NOT NULL DEFAULT 0 CHECK (stuck >= 0),
    created_at timestamptz NOT NULL,
    ready_at   timestamptz NOT NULL
);
COMMENT ON COLUMN simulated_instance.stuck IS
    'A delete fails while its attempt is not above this.';

GRANT SELECT ON simulated_provider, simulated_instance TO drawbridge_worker, drawbridge_gateway, drawbridge_reader;
GRANT INSERT, DELETE ON simulated_instance TO drawbridge_worker;
-- simulated_lock takes a row lock, which needs the right to update some column; this one has one value.
GRANT UPDATE (singleton) ON simulated_provider TO drawbridge_worker;
