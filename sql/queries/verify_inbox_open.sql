-- verify_inbox_open() -> subject, identity, detail
-- Open means that somebody has still to end it: a row of pending, or a session whose start will end the stop
-- that waits for it.
SELECT 'command/' || encode(i.digest, 'hex') AS subject, 'o' AS identity,
       format('open in the inbox of %s/%s, and nobody works on it', i.consumer, i.shard) AS detail
FROM inbox i
WHERE i.outcome = 'o'
  AND NOT EXISTS (SELECT FROM pending p WHERE p.digest = i.digest)
  AND NOT EXISTS (SELECT FROM sessions s WHERE s.stop_command IS NOT NULL
                  AND s.stop_command ->> 'digest' = encode(i.digest, 'hex'))
LIMIT 100
