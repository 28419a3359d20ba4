-- biography_messages(digest text[]) -> what the ledger says of these commands, in order
-- Two indexes: the ledger's by command has everything but the event of a command that was done, and
-- that one is named by the command's inbox row.
WITH asked AS (SELECT decode(x, 'hex') AS digest FROM unnest($1::text[]) x),
said AS (
    SELECT l.* FROM asked a JOIN ledger l ON l.command = a.digest AND l.outcome IS DISTINCT FROM 'done'
    UNION ALL
    SELECT l.* FROM asked a JOIN inbox i ON i.digest = a.digest
    JOIN ledger l ON l.shard = i.shard AND l.seq = i.event_seq AND l.consumer = i.consumer AND l.day = i.event_day
    WHERE l.outcome = 'done')
SELECT at, consumer AS worker, shard, seq, topic, headers, ce_id AS "eventId", type, subject, sequence, outcome,
       encode(command, 'hex') AS digest,
       CASE WHEN topic = 'drawbridge.events' THEN convert_from(value, 'UTF8')::json END AS data
FROM said ORDER BY at, consumer, shard, seq
