-- infrastructure_move(instances bigint, sessions bigint, attempts bigint, failures bigint, bytes bigint, cost bigint, now timestamptz) -> guard void
-- Never over capacity by a raise; a capacity that was lowered below its use is no obstacle to falling.
WITH moved AS (
    UPDATE infrastructure_state SET active_instances = active_instances + $1::bigint, active_sessions = active_sessions + $2,
        total_provisioning_attempts = total_provisioning_attempts + $3,
        total_provisioning_failures = total_provisioning_failures + $4,
        total_bytes_transferred = total_bytes_transferred + $5,
        current_cost_estimate_micros = current_cost_estimate_micros + $6, last_updated = $7
    WHERE $1::bigint <= 0 OR active_instances + $1::bigint <= capacity
    RETURNING 1)
SELECT guard((SELECT count(*) FROM moved), 1, 'DB002', 'infrastructure_state')
