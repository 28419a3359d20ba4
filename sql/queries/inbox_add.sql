-- inbox_add(consumer text, day date[], digest bytea[], payload bytea[], outcome "char"[], shard int[], event_seq bigint[], event_day date[])
-- A key that is there already means a repeat, or a publisher's twin that came in meanwhile:
-- unique_violation, decide again. (unnest beside one another, not in FROM: no tuple store per column.)
INSERT INTO inbox (consumer, day, digest, payload, outcome, shard, event_seq, event_day)
SELECT $1, unnest($2::date[]), unnest($3::bytea[]), unnest($4::bytea[]), unnest($5::"char"[]), unnest($6::int[]),
       unnest($7::bigint[]), unnest($8::date[])
