-- status_events(most int) -> time, eventType, outcome, message: the newest of the audit trail
SELECT timestamp AS time, event_type AS "eventType", outcome, message, subject
FROM operational_event
WHERE event_date >= current_date - 1
ORDER BY timestamp DESC, sequence DESC LIMIT $1::int
