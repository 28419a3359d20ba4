-- capacity_set(capacity bigint) -> capacity
UPDATE infrastructure_state SET capacity = $1::bigint RETURNING capacity
