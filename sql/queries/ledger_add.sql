-- ledger_add(day date, consumer text, at timestamptz, shard int[], seq bigint[], topic text[], key bytea[], headers bytea[], value bytea[], ce_id text[], type text[], subject text[], sequence bigint[], command bytea[], outcome text[], prev_consumer text[], prev_shard int[], prev_seq bigint[])
INSERT INTO ledger (day, consumer, at, shard, seq, topic, key, headers, value, ce_id, type, subject, sequence,
                    command, outcome, prev_consumer, prev_shard, prev_seq)
SELECT $1, $2, $3, unnest($4::int[]), unnest($5::bigint[]), unnest($6::text[]), unnest($7::bytea[]),
       unnest($8::bytea[]), unnest($9::bytea[]), unnest($10::text[]), unnest($11::text[]), unnest($12::text[]),
       unnest($13::bigint[]), unnest($14::bytea[]), unnest($15::text[]), unnest($16::text[]), unnest($17::int[]),
       unnest($18::bigint[])
