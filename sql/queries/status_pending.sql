-- status_pending() -> worker, state, by, kind, count, oldest, next. What is not settled, by what it waits for.
-- kind: runnable (could go on now), waiting (until due), behind (a lane), heldByBreaker, heldOtherwise.
SELECT consumer AS worker, state, by, kind, count(*) AS count, min(accepted_at) AS oldest,
       min(due_at) FILTER (WHERE state <> 'held') AS next
FROM (SELECT consumer, state, accepted_at, due_at,
             CASE WHEN held_by LIKE 'dead:%' THEN 'dead letter' ELSE held_by END AS by,
             CASE WHEN state = 'effect' OR (state IN ('tier', 'timed', 'scheduled') AND due_at <= now()) THEN 'runnable'
                  WHEN state IN ('tier', 'timed', 'scheduled') THEN 'waiting'
                  WHEN state = 'follower' THEN 'behind'
                  WHEN held_by LIKE 'breaker:%' THEN 'heldByBreaker'
                  ELSE 'heldOtherwise' END AS kind
      FROM pending) p
GROUP BY consumer, state, by, kind ORDER BY consumer, state, by, kind
