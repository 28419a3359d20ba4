-- inbox_reopen(consumer text, day date[], digest bytea[], payload bytea[], outcome "char"[], shard int[], event_seq bigint[], event_day date[], since date) -> guard void
-- A dead command is taken in again. An edited one, or one older than what the inbox keeps, has no row:
-- it gets one where there is a partition for its day.
WITH w AS (
    SELECT * FROM unnest($2::date[], $3::bytea[], $4::bytea[], $5::"char"[], $6::int[], $7::bigint[], $8::date[])
         AS w (day, digest, payload, outcome, shard, event_seq, event_day)),
reopened AS (
    UPDATE inbox i SET outcome = w.outcome, consumer = $1, shard = w.shard, event_seq = w.event_seq,
           event_day = w.event_day
    FROM w WHERE i.day = w.day AND i.digest = w.digest AND i.outcome = 'd'
    RETURNING 1),
made AS (
    INSERT INTO inbox (consumer, day, digest, payload, outcome, shard, event_seq, event_day)
    SELECT $1, w.day, w.digest, w.payload, w.outcome, w.shard, w.event_seq, w.event_day FROM w
    WHERE w.day >= $9 AND NOT EXISTS (SELECT FROM inbox i WHERE i.day = w.day AND i.digest = w.digest)
    RETURNING 1)
SELECT guard((SELECT count(*) FROM reopened) + 0 * (SELECT count(*) FROM made),
             (SELECT count(*) FROM w JOIN inbox i ON i.day = w.day AND i.digest = w.digest), 'DB002', 'inbox')
