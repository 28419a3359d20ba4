-- verify_stream_tip(bytes bigint) -> subject, identity, detail
-- The last event that a row names is in the ledger, with the row's number.
WITH tip AS (
    SELECT 'user/' || id AS subject, sequence, event_consumer AS consumer, event_shard AS shard, event_seq AS seq
    FROM users TABLESAMPLE SYSTEM (verify_share('users', $1))
    UNION ALL SELECT 'session/' || id, sequence, event_consumer, event_shard, event_seq
    FROM sessions TABLESAMPLE SYSTEM (verify_share('sessions', $1))
    UNION ALL SELECT 'token/' || id, sequence, event_consumer, event_shard, event_seq
    FROM personal_access_token TABLESAMPLE SYSTEM (verify_share('personal_access_token', $1))
    UNION ALL SELECT 'connection/' || id, sequence, event_consumer, event_shard, event_seq
    FROM connection TABLESAMPLE SYSTEM (verify_share('connection', $1))
    UNION ALL SELECT 'workflow/' || id, sequence, event_consumer, event_shard, event_seq
    FROM workflow TABLESAMPLE SYSTEM (verify_share('workflow', $1))
    UNION ALL SELECT subject, sequence, event_consumer, event_shard, event_seq
    FROM subject_stream TABLESAMPLE SYSTEM (verify_share('subject_stream', $1)))
SELECT t.subject, t.sequence::text AS identity,
       CASE WHEN t.seq IS NULL THEN format('sequence %s without an event', t.sequence)
            WHEN l.seq IS NULL THEN format('its event %s/%s/%s is not in the ledger', t.consumer, t.shard, t.seq)
            ELSE format('sequence %s, but its event is %s of %s', t.sequence, l.sequence, l.subject) END AS detail
FROM tip t
LEFT JOIN shard s ON s.consumer = t.consumer AND s.n = t.shard
LEFT JOIN ledger l ON l.consumer = t.consumer AND l.shard = t.shard AND l.seq = t.seq
WHERE (t.seq IS NULL AND t.sequence > 0)
   OR (t.seq > s.ledger_floor AND (l.seq IS NULL OR l.subject <> t.subject OR l.sequence <> t.sequence))
LIMIT 100
