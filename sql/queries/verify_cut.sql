-- verify_cut() -> consumer text, n int, floor bigint, published bigint, seq bigint
-- The cut: rows of the ledger behind `floor` and up to `seq` are committed and kept; up to `published` they are on
-- their topics.
SELECT consumer, n, ledger_floor AS "floor", published, ledger_seq AS "seq" FROM shard ORDER BY consumer, n
