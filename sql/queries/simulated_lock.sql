-- simulated_lock() -> capacity int
-- Makes creates and deletes of all workers take turns until the transaction ends.
SELECT capacity FROM simulated_provider FOR NO KEY UPDATE
