-- shard_count(consumer text) -> shards bigint, now timestamptz
SELECT count(*), clock_timestamp() FROM shard WHERE consumer = $1
