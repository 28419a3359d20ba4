-- audit_heads() -> shard int, head bigint, floor bigint: how far each shard of audit has written, and the rows that are gone
SELECT n, ledger_seq, ledger_floor FROM shard WHERE consumer = 'audit' ORDER BY n
