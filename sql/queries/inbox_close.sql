-- inbox_close(consumer text, day date[], digest bytea[], outcome "char"[], shard int[], event_seq bigint[], event_day date[]) -> guard void
-- A command's one outcome is decided here, by compare-and-set. One that waited for longer than the
-- inbox reaches back (scheduled for weeks ahead) has no row any more, and nobody to race with.
-- (The cast keeps the index of open commands out of it: all of them would be compared with all of these.)
WITH w AS (
    SELECT * FROM unnest($2::date[], $3::bytea[], $4::"char"[], $5::int[], $6::bigint[], $7::date[])
         AS w (day, digest, outcome, shard, event_seq, event_day)),
closed AS (
    UPDATE inbox i SET outcome = w.outcome, consumer = $1, shard = w.shard, event_seq = w.event_seq, event_day = w.event_day
    FROM w WHERE i.day = w.day AND i.digest = w.digest AND i.outcome::text = 'o'
    RETURNING 1)
SELECT guard((SELECT count(*) FROM closed),
             (SELECT count(*) FROM w JOIN inbox i ON i.day = w.day AND i.digest = w.digest), 'DB002', 'inbox')
