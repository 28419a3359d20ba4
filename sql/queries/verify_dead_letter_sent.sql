-- verify_dead_letter_sent() -> subject, identity, detail
SELECT 'dead-letter/' || d.id AS subject, d.state AS identity,
       format('%s of %s is in no dead-letter topic', coalesce(d.command_id, 'a record without an id'), d.consumer)
           AS detail
FROM dead_letter d
WHERE d.digest IS NOT NULL AND d.state IN ('parked', 'replaying')
  AND to_regclass('ledger_' || to_char(d.died_at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL
  AND NOT EXISTS (SELECT FROM ledger l WHERE l.command = d.digest AND l.outcome IS DISTINCT FROM 'done'
                  AND l.topic = 'drawbridge.' || d.consumer || '.dlq')
LIMIT 100
