-- shard_pending(consumer text, n int[]) -> n int, rows bigint
-- A statement of its own, behind shard_open: that one may have waited for a commit of its own twin,
-- whose rows its snapshot does not show.
SELECT w.n, (SELECT count(*) FROM pending p WHERE p.consumer = $1 AND p.shard = w.n)
FROM unnest($2::int[]) AS w (n)
