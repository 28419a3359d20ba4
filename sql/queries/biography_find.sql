-- biography_find(word text, letter bigint, most int) -> digest, commandId, source, type, subject, at
-- Commands by the number of a dead letter, or (letter null) by their id or its beginning, or by their
-- subject, whole or behind the slash. The newest first. An event is asked for its command in the ledger
-- of its day, which may be long; the digest is null where that is gone.
WITH told AS MATERIALIZED (
    SELECT event_date, event_id, causation_id, subject, timestamp FROM operational_event
    WHERE $2::bigint IS NULL AND causation_id IS NOT NULL
      AND (starts_with(causation_id, $1) OR subject IN ($1, 'session/' || $1, 'user/' || $1))
    ORDER BY timestamp DESC LIMIT 1000),
found AS (
    SELECT digest, command_id, source, type, subject, coalesce(record_at, died_at) AS at FROM dead_letter
    WHERE id = $2 OR ($2 IS NULL AND (starts_with(command_id, $1) OR subject = $1
                                      OR substr(subject, strpos(subject, '/') + 1) = $1))
    UNION ALL
    SELECT digest, command_id, NULL, 'drawbridge.' || type, subject, accepted_at FROM pending
    WHERE $2 IS NULL AND (starts_with(command_id, $1) OR subject = $1
                          OR substr(subject, strpos(subject, '/') + 1) = $1)
    UNION ALL
    SELECT l.command, t.causation_id, NULL, NULL, t.subject, t.timestamp FROM told t
    LEFT JOIN ledger l ON l.ce_id = t.event_id AND l.day = t.event_date AND l.topic = 'drawbridge.events'
                      AND l.day = ANY (ARRAY(SELECT event_date FROM told)))
SELECT encode(digest, 'hex') AS digest, command_id AS "commandId", max(source) AS source, max(type) AS type,
       max(subject) AS subject, min(at) AS at
FROM found WHERE command_id IS NOT NULL OR digest IS NOT NULL
GROUP BY digest, command_id ORDER BY min(at) DESC LIMIT $3::int
