-- verify_pending_inbox() -> subject, identity, detail
-- What is worked on is open in the inbox, as long as the inbox reaches back to its day. A death that holds its
-- lane leaves its row there as the lane's head.
SELECT p.subject, encode(p.digest, 'hex') AS identity,
       format('%s %s (%s) is %s in the inbox', p.type, p.command_id, p.state, coalesce(i.outcome::text, 'not'))
           AS detail
FROM pending p LEFT JOIN inbox i ON i.digest = p.digest AND i.day = p.day
WHERE i.outcome IS DISTINCT FROM 'o'
  AND (p.state = 'held' AND p.held_by LIKE 'dead:%' AND i.outcome = 'd') IS NOT TRUE
  AND (i.outcome IS NOT NULL OR to_regclass('inbox_' || to_char(p.day, 'YYYYMMDD')) IS NOT NULL)
LIMIT 100
