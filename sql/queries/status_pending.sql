-- status_pending() -> worker, state, count, oldest, next. What is not settled, by its state.
SELECT consumer AS worker, state, count(*) AS count, min(accepted_at) AS oldest,
       min(due_at) AS next
FROM pending GROUP BY consumer, state ORDER BY consumer, state
