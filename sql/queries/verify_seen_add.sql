-- verify_seen_add(run bigint, partition int[], record_offset bigint[], ce_id text[], subject text[], sequence bigint[], at timestamptz[], digest text[])
INSERT INTO verify_seen (run, partition, record_offset, ce_id, subject, sequence, at, digest)
SELECT $1::bigint, unnest($2::int[]), unnest($3::bigint[]), unnest($4::text[]), unnest($5::text[]),
       unnest($6::bigint[]), unnest($7::timestamptz[]), unnest($8::text[])
