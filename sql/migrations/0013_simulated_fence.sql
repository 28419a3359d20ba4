-- The simulated provider knows which deletes it has seen: a create of a worker that is dead, still in
-- the network when its successor deleted, makes nothing (H33).
CREATE TABLE simulated_fence (
    session_id uuid   PRIMARY KEY,
    fence      bigint NOT NULL
);
COMMENT ON TABLE simulated_fence IS
    'The highest fence of a delete. Creates with one that is not higher are too late.';
GRANT SELECT, INSERT, UPDATE ON simulated_fence TO drawbridge_worker;
GRANT SELECT ON simulated_fence TO drawbridge_gateway, drawbridge_reader;
