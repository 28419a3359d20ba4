-- dead_letter_count(worker or null, type or null, since or null, all) -> totalCount
SELECT count(*) AS "totalCount"
FROM dead_letter
WHERE ($1::text IS NULL OR consumer = $1)
  AND ($2::text IS NULL OR type = $2)
  AND ($3::timestamptz IS NULL OR died_at >= $3)
  AND ($4::boolean OR state = 'parked')
