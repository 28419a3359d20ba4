-- shard_list() -> consumer, n, next_offset (JSON array), epoch, published, ledgerSeq, owner
SELECT consumer, n, to_json(next_offset) AS next_offset, epoch, published,
       ledger_seq AS "ledgerSeq", owner
FROM shard ORDER BY consumer, n
