-- dead_letter_count(worker text, type text, since timestamptz, everything boolean, tenant text, code text, text text) -> totalCount
-- As dead_letter_list.
SELECT count(*) AS "totalCount"
FROM dead_letter
WHERE ($1::text IS NULL OR consumer = $1)
  AND ($2::text IS NULL OR type = $2)
  AND ($3::timestamptz IS NULL OR died_at >= $3)
  AND ($4::boolean OR state = 'parked')
  AND ($5::text IS NULL OR tenant = $5)
  AND ($6::text IS NULL OR code = $6)
  AND ($7::text IS NULL OR strpos(lower(message), lower($7)) > 0)
