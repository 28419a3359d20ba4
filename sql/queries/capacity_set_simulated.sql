-- capacity_set_simulated(capacity) -> capacity
UPDATE simulated_provider SET capacity = $1::int RETURNING capacity
