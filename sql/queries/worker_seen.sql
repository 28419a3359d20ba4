-- worker_seen(instance text, worker text, version text, host text, pid int, metrics_url text, shards int[], started_at timestamptz, seen_at timestamptz) -> now timestamptz
WITH old AS (DELETE FROM worker_instance WHERE seen_at < $9::timestamptz - interval '1 day')
INSERT INTO worker_instance (instance, worker, version, host, pid, metrics_url, shards, started_at, seen_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (instance) DO UPDATE SET shards = excluded.shards, seen_at = excluded.seen_at, metrics_url = excluded.metrics_url
RETURNING clock_timestamp()
