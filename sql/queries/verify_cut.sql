-- verify_cut() -> consumer text, n int, floor bigint, published bigint, seq bigint, next_offset json
-- The cut: rows of the ledger behind `floor` and up to `seq` are committed and kept; up to `published` they are on
-- their topics. next_offset: where the shard goes on.
SELECT consumer, n, ledger_floor AS "floor", published, ledger_seq AS "seq", to_json(next_offset) AS next_offset
FROM shard ORDER BY consumer, n
