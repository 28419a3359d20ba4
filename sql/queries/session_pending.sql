-- session_pending(subject text) -> type, state, attempt, dueAt, errorCode, errorMessage: what is under
-- way for it, in order
SELECT type, state, attempt, due_at AS "dueAt", error_code AS "errorCode",
       error_message AS "errorMessage"
FROM pending WHERE subject = $1 ORDER BY pos
