-- verify_pending_ticket() -> subject, identity, detail
-- A row that waits in a tier wrote its ticket with itself; kafka.letters proves that the ticket is on the topic.
SELECT p.subject, format('%s/%s', encode(p.digest, 'hex'), p.attempt) AS identity,
       format('%s %s waits for a ticket that was never written', p.type, p.command_id) AS detail
FROM pending p
WHERE p.state = 'tier'
  AND NOT EXISTS (SELECT FROM ledger l WHERE l.command = p.digest AND l.outcome IS DISTINCT FROM 'done'
                  AND l.type = 'ticket' AND l.consumer = p.consumer AND l.shard = p.shard)
LIMIT 100
