-- lane_list(worker text, state text, subject text, most int, tenant text) -> lane, worker, shard, type, state, errorCode, errorMessage, depth, attempt, nextDue, holder, since
-- One row a lane: what its head is and waits for, and how much is behind it. Null: any. Scheduled commands
-- open no lane before they are due; each is told as a lane of its own state. A tenant's are those of its users
-- (a key is a user's id; encode() fails for no bytes), and commands that name it themselves.
SELECT h.subject AS lane, h.consumer AS worker, h.shard, h.type, h.state, h.error_code AS "errorCode",
       h.error_message AS "errorMessage", n.depth, h.attempt, h.due_at AS "nextDue", h.held_by AS holder,
       h.accepted_at AS since
FROM (SELECT DISTINCT ON (consumer, shard, subject, state = 'scheduled') * FROM pending
      WHERE ($1::text IS NULL OR consumer = $1) AND ($3::text IS NULL OR subject = $3)
      ORDER BY consumer, shard, subject, state = 'scheduled', pos) h
CROSS JOIN LATERAL (
    SELECT count(*) AS depth FROM pending p WHERE p.consumer = h.consumer AND p.shard = h.shard
       AND p.subject = h.subject AND (p.state = 'scheduled') = (h.state = 'scheduled')) n
WHERE ($2::text IS NULL OR h.state = $2)
  AND ($5::text IS NULL OR EXISTS (SELECT FROM users u WHERE u.id = encode(h.key, 'escape') AND u.tenant = $5)
       OR position(int2send(9::int2) || 'ce_tenant' || int4send(octet_length($5)) || convert_to($5, 'UTF8')
                   IN h.headers) > 0)
ORDER BY n.depth DESC, h.accepted_at, h.subject LIMIT $4::int
