-- verify_inbox_closed(bytes bigint) -> subject, identity, detail
SELECT 'command/' || encode(i.digest, 'hex') AS subject, i.outcome::text AS identity,
       CASE WHEN i.event_seq IS NULL THEN format('ended (%s) without an event', i.outcome)
            WHEN l.seq IS NULL THEN format('its outcome %s/%s/%s is not in the ledger', i.consumer, i.shard, i.event_seq)
            ELSE format('the inbox says %s, the ledger %s of command %s', i.outcome, l.outcome,
                        encode(l.command, 'hex')) END AS detail
FROM inbox i TABLESAMPLE SYSTEM (verify_share('inbox', $1))
LEFT JOIN shard s ON s.consumer = i.consumer AND s.n = i.shard
LEFT JOIN ledger l ON l.consumer = i.consumer AND l.shard = i.shard AND l.seq = i.event_seq AND l.day = i.event_day
WHERE i.outcome <> 'o'
  AND (i.event_seq IS NULL
       OR (i.event_seq > s.ledger_floor
           AND (l.seq IS NULL OR l.command IS DISTINCT FROM i.digest
                OR l.outcome IS DISTINCT FROM CASE i.outcome WHEN 'a' THEN 'done' WHEN 'r' THEN 'refused'
                                                             WHEN 'c' THEN 'cancelled' WHEN 'd' THEN 'dead' END)))
LIMIT 100
