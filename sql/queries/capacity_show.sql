-- capacity_show() -> capacity, activeInstances, activeSessions, quotaLimitReached, attempts,
-- failures, bytes, lastUpdated, simulatedCapacity, simulatedInstances
SELECT i.capacity, i.active_instances AS "activeInstances", i.active_sessions AS "activeSessions",
       i.quota_limit_reached AS "quotaLimitReached",
       i.total_provisioning_attempts AS "totalProvisioningAttempts",
       i.total_provisioning_failures AS "totalProvisioningFailures",
       i.total_bytes_transferred AS "totalBytesTransferred", i.last_updated AS "lastUpdated",
       p.capacity AS "simulatedCapacity",
       (SELECT count(*) FROM simulated_instance) AS "simulatedInstances"
FROM infrastructure_state i CROSS JOIN simulated_provider p
