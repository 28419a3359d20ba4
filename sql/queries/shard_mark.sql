-- shard_mark(consumer text, n int[], epoch bigint[], published bigint[])
UPDATE shard s SET published = greatest(s.published, w.published)
FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS w (n, epoch, published)
WHERE s.consumer = $1 AND s.n = w.n AND s.epoch = w.epoch
