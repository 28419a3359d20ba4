-- dead_letter_list(worker or null, type or null, since or null, limit, all: also those that are
-- not parked any more) -> id, worker, state, diedAt, type, subject, code, message, attempts
SELECT id, consumer AS worker, state, died_at AS "diedAt", type, subject, class, code, message,
       attempts, command_id AS "commandId"
FROM dead_letter
WHERE ($1::text IS NULL OR consumer = $1)
  AND ($2::text IS NULL OR type = $2)
  AND ($3::timestamptz IS NULL OR died_at >= $3)
  AND ($5::boolean OR state = 'parked')
ORDER BY died_at DESC, id DESC LIMIT $4::int
