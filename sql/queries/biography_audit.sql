-- biography_audit(id text[], letter text[]) -> events that the audit trail has of these commands, or of these dead letters (deadletter/<id>)
SELECT timestamp AS at, event_id AS "eventId", type, subject, sequence, outcome, message, causation_id AS "commandId",
       metadata
FROM operational_event
WHERE causation_id = ANY ($1::text[]) OR subject = ANY ($2::text[])
ORDER BY timestamp, sequence
