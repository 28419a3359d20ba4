-- ledger_add(day date, consumer text, at timestamptz, shard int[], seq bigint[], topic text[], key bytea[], headers bytea[], value bytea[], ce_id text[], type text[], subject text[], sequence bigint[], command bytea[], outcome text[], prev_consumer text[], prev_shard int[], prev_seq bigint[])
INSERT INTO ledger (day, consumer, at, shard, seq, topic, key, headers, value, ce_id, type, subject, sequence,
                    command, outcome, prev_consumer, prev_shard, prev_seq)
SELECT $1, $2, $3, * FROM unnest($4::int[], $5::bigint[], $6::text[], $7::bytea[], $8::bytea[], $9::bytea[],
    $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bytea[], $15::text[], $16::text[], $17::int[],
    $18::bigint[])
