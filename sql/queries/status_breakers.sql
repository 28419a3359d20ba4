-- status_breakers() -> worker, dependency, state, since, failingSince, failures, nextProbe, width, held, calls, callsLimit, retryBudgetUsed, retriesLate, instance
-- Of the processes that are up. held: commands of all processes of the worker that wait for this dependency.
SELECT b.worker, b.dependency, b.state, b.since, b.failing_at AS "failingSince", b.failures,
       b.probe_at AS "nextProbe", b.width,
       (SELECT count(*) FROM pending p WHERE p.consumer = b.worker AND p.state = 'held'
        AND p.held_by = 'breaker:' || b.dependency) AS held,
       b.calls, b.calls_limit AS "callsLimit", b.retry_budget_used AS "retryBudgetUsed",
       b.retries_late AS "retriesLate", b.instance
FROM breaker b JOIN worker_instance i USING (instance)
WHERE i.seen_at > now() - interval '15 seconds'
ORDER BY b.worker, b.dependency, b.instance
