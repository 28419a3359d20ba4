-- shard_unfreeze(consumer text, n int[], stall_ms int) -> freed bigint
SELECT shard_unfreeze($1, $2, $3)
