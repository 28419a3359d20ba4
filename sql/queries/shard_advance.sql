-- shard_advance(consumer text, n int[], epoch bigint[], next_offset text[], new_offset text[], seq bigint[], new_seq bigint[], published bigint[], rows bigint) -> guard void
WITH want AS (
    SELECT * FROM unnest($2::int[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[])
             AS w (n, epoch, was, becomes, seq, new_seq, published)),
moved AS (
    UPDATE shard s SET next_offset = w.becomes::bigint[], ledger_seq = w.new_seq,
                       published = greatest(s.published, w.published)
    FROM want w
    WHERE s.consumer = $1 AND s.n = w.n AND s.epoch = w.epoch AND s.next_offset = w.was::bigint[]
      AND s.ledger_seq = w.seq
    RETURNING 1)
SELECT guard((SELECT count(*) FROM moved), $9, 'DB001', 'shard')
