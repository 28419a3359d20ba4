-- infrastructure_find() -> capacity bigint, active_instances bigint, active_sessions bigint, attempts bigint, failures bigint, bytes bigint, cost bigint, quota_limit_reached boolean
SELECT capacity, active_instances, active_sessions, total_provisioning_attempts, total_provisioning_failures,
       total_bytes_transferred, current_cost_estimate_micros, quota_limit_reached FROM infrastructure_state
