-- dead_letter_groups(filter jsonb, most int) -> fingerprint, count, class, code, place, type, workers, subjects, firstAt, lastAt, versions, exampleId, message
-- What failed alike: class, code, place of the first problem, type. The largest group first.
SELECT fingerprint, count(*) AS count, class, code, problems -> 0 ->> 'pointer' AS place, type,
       jsonb_agg(DISTINCT consumer) AS workers, count(DISTINCT subject) AS subjects, min(died_at) AS "firstAt",
       max(died_at) AS "lastAt", jsonb_agg(DISTINCT worker_version) AS versions, max(id) AS "exampleId",
       (array_agg(message ORDER BY id DESC))[1] AS message
FROM dead_letter_matching($1)
GROUP BY fingerprint, class, code, problems -> 0 ->> 'pointer', type
ORDER BY count(*) DESC, max(died_at) DESC LIMIT $2::int
