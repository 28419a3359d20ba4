-- capacity_set_simulated(capacity int) -> capacity
UPDATE simulated_provider SET capacity = $1::int RETURNING capacity
