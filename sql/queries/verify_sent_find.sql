-- verify_sent_find(topic text[], partition int[], ce_id text[], at timestamptz[], identity text[]) -> i bigint, gone boolean, consumer text, shard int, seq bigint, same boolean
-- The rows of records that were met on a topic (migration 0020 says how they are found).
SELECT i, gone, consumer, shard, seq, same
FROM ledger_of_records($1::text[], $2::int[], $3::text[], $4::timestamptz[], $5::text[])
