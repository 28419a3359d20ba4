-- status_workers() -> worker, instance, version, host, pid, shards, startedAt, seenAt, up, metricsUrl
SELECT worker, instance, version, host, pid, to_json(shards) AS shards, started_at AS "startedAt",
       seen_at AS "seenAt", seen_at > now() - interval '15 seconds' AS up,
       metrics_url AS "metricsUrl"
FROM worker_instance ORDER BY worker, instance
