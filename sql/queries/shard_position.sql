-- shard_position(consumer text, n int) -> position bigint
-- Of the main topic.
SELECT next_offset[1] AS position FROM shard WHERE consumer = $1 AND n = $2
