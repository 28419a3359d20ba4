-- operational_event_add(event_date date[], event_id text[], timestamp timestamptz[], event_type text[], type text[], subject text[], sequence bigint[], user_id text[], session_id text[], outcome text[], message text[], metadata text[], duration_ms bigint[], correlation_id text[], causation_id text[], ip_address text[])
INSERT INTO operational_event (event_date, event_id, timestamp, event_type, type, subject, sequence, user_id, session_id,
                               outcome, message, metadata, duration_ms, correlation_id, causation_id, ip_address)
SELECT w.day, w.id, w.at, w.event_type, w.type, w.subject, w.sequence, w.user_id, w.session_id, w.outcome, w.message,
       w.metadata::jsonb, w.duration, w.correlation, w.causation, w.address
FROM unnest($1::date[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::text[], $15::text[], $16::text[])
     AS w (day, id, at, event_type, type, subject, sequence, user_id, session_id, outcome, message, metadata, duration,
           correlation, causation, address)
