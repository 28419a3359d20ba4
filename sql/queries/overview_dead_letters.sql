-- overview_dead_letters(of int, most int) -> fingerprint, count, class, code, place, type, workers, subjects, firstAt, lastAt, exampleId, message
-- What waits for a person, grouped by what failed alike, the group with the newest first; of the newest `of` letters.
SELECT fingerprint, count(*) AS count, class, code, problems -> 0 ->> 'pointer' AS place, type,
       jsonb_agg(DISTINCT consumer) AS workers, count(DISTINCT subject) AS subjects, min(died_at) AS "firstAt",
       max(died_at) AS "lastAt", max(id) AS "exampleId", (array_agg(message ORDER BY id DESC))[1] AS message
FROM (SELECT d.* FROM (SELECT DISTINCT consumer FROM shard) c
      CROSS JOIN LATERAL (SELECT * FROM dead_letter l WHERE l.state = 'parked' AND l.consumer = c.consumer
                          ORDER BY l.died_at DESC LIMIT $1::int) d
      ORDER BY died_at DESC, id DESC LIMIT $1::int) d
GROUP BY fingerprint, class, code, problems -> 0 ->> 'pointer', type
ORDER BY max(died_at) DESC, max(id) DESC LIMIT $2::int
