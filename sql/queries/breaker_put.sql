-- breaker_put(instance text, worker text, dependency text, state text, since timestamptz, failing_at timestamptz, failures int, probe_at timestamptz, width int, calls int, calls_limit int, retry_budget_used int, retries_late bigint, seen_at timestamptz)
-- Nothing before the process has said that it is there (worker_seen).
INSERT INTO breaker (instance, worker, dependency, state, since, failing_at, failures, probe_at, width, calls,
                     calls_limit, retry_budget_used, retries_late, seen_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
WHERE EXISTS (SELECT FROM worker_instance WHERE instance = $1)
ON CONFLICT (instance, dependency) DO UPDATE SET
    state = excluded.state, since = excluded.since, failing_at = excluded.failing_at, failures = excluded.failures,
    probe_at = excluded.probe_at, width = excluded.width, calls = excluded.calls,
    calls_limit = excluded.calls_limit, retry_budget_used = excluded.retry_budget_used,
    retries_late = excluded.retries_late, seen_at = excluded.seen_at
