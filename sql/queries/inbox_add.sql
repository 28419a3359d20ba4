-- inbox_add(consumer text, day date[], digest bytea[], payload bytea[], outcome "char"[], shard int[], event_seq bigint[], event_day date[])
-- A key that is there already means a publisher's twin came in meanwhile: unique_violation, decide again.
INSERT INTO inbox (consumer, day, digest, payload, outcome, shard, event_seq, event_day)
SELECT $1, * FROM unnest($2::date[], $3::bytea[], $4::bytea[], $5::"char"[], $6::int[], $7::bigint[], $8::date[])
