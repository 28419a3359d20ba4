-- shard_open(consumer text, n int[], owner text) -> n int, epoch bigint, next_offset bigint[], ledger_seq bigint, published bigint
UPDATE shard s SET epoch = s.epoch + 1, owner = $3, owner_pid = pg_backend_pid()
WHERE s.consumer = $1 AND s.n = ANY ($2)
RETURNING s.n, s.epoch, s.next_offset, s.ledger_seq, s.published
