-- capacity_set(capacity) -> capacity
UPDATE infrastructure_state SET capacity = $1::bigint RETURNING capacity
