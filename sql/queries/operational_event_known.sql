-- operational_event_known(day date[], subject text[], sequence bigint[]) -> subject text, sequence bigint
SELECT e.subject, e.sequence FROM unnest($1::date[], $2::text[], $3::bigint[]) AS w (day, subject, sequence)
JOIN operational_event e ON e.event_date = w.day AND e.subject = w.subject AND e.sequence = w.sequence
