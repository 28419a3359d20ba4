-- The audit trail is read over HTTP, newest first: of everything, of one user, of one type, and what went wrong.
CREATE INDEX operational_event_time ON operational_event (timestamp);
CREATE INDEX operational_event_user ON operational_event (user_id, timestamp);
CREATE INDEX operational_event_type ON operational_event (event_type, timestamp);
CREATE INDEX operational_event_wrong ON operational_event (timestamp) WHERE outcome <> 'success';

-- RFC 3339 in UTC, with milliseconds.
CREATE FUNCTION rfc3339(at timestamptz) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

-- One record as those who read the trail see it (schemas/http/audit.record.json). Data beyond 64 KiB is left out.
CREATE FUNCTION audit_record(event_id text, at text, event_type text, type text, resource text, sequence bigint,
                             user_id text, session_id text, outcome text, message text, metadata text,
                             ip_address text, duration_ms bigint, correlation_id text, causation_id text)
RETURNS text LANGUAGE sql STABLE AS $$
    SELECT json_build_object('eventId', event_id, 'timestamp', at, 'eventType', event_type, 'type', type,
        'resource', resource, 'sequence', sequence, 'userId', user_id, 'sessionId', session_id, 'outcome', outcome,
        'message', message, 'metadata', CASE WHEN octet_length(metadata) <= 65536 THEN metadata::json END,
        'ipAddress', ip_address, 'durationMs', duration_ms, 'correlationId', correlation_id,
        'causationId', causation_id)::text
$$;

-- A page, newest first: at most `most` records, and no more than `bytes` of them (one in any case). of_type may end
-- in ".*". Behind (before_at, before_digest, before_sequence): where the page before ended. Planned for what is
-- asked each time: which index serves depends on the filters that are there.
CREATE FUNCTION audit_page(of_type text, of_user text, of_resource text, of_outcome text, of_correlation text,
                           since timestamptz, until timestamptz, before_at timestamptz, before_digest text,
                           before_sequence bigint, most int, bytes bigint)
RETURNS TABLE (at timestamptz, digest text, sequence bigint, record text)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    -- The key begins with the day: a resource is looked up in all that are kept.
    days date[] := CASE WHEN of_resource IS NOT NULL THEN ARRAY(
        SELECT to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'operational_event'::regclass AND c.relname ~ '_[0-9]{8}$') END;
BEGIN
    RETURN QUERY
    SELECT s.at, s.digest, s.seq, s.record FROM (
        SELECT r.at, r.digest, r.seq, r.record,
               sum(octet_length(r.record)) OVER (ORDER BY r.at DESC, r.digest DESC, r.seq DESC) AS size,
               row_number() OVER (ORDER BY r.at DESC, r.digest DESC, r.seq DESC) AS n
        FROM (
            SELECT p.timestamp AS at, p.digest, p.sequence AS seq,
                   audit_record(p.event_id, rfc3339(p.timestamp), p.event_type, p.type, p.subject, p.sequence, p.user_id,
                                p.session_id, p.outcome, p.message, p.metadata::text, p.ip_address, p.duration_ms,
                                p.correlation_id, p.causation_id) AS record
            FROM (
                SELECT e.*, md5(e.subject) AS digest FROM operational_event e
                WHERE (of_type IS NULL OR (right(of_type, 2) <> '.*' AND e.event_type = of_type)
                       OR (right(of_type, 2) = '.*' AND starts_with(e.event_type, left(of_type, -1))))
                  AND (of_user IS NULL OR e.user_id = of_user)
                  AND (of_resource IS NULL OR (e.subject = of_resource AND e.event_date = ANY (days)))
                  AND (of_outcome IS NULL OR e.outcome = of_outcome)
                  AND (of_correlation IS NULL OR e.correlation_id = of_correlation)
                  AND (since IS NULL OR (e.timestamp >= since AND e.event_date >= (since AT TIME ZONE 'UTC')::date))
                  AND (until IS NULL OR (e.timestamp < until AND e.event_date <= (until AT TIME ZONE 'UTC')::date))
                  AND (before_at IS NULL OR (e.timestamp <= before_at
                       AND e.event_date <= (before_at AT TIME ZONE 'UTC')::date
                       AND (e.timestamp, md5(e.subject), e.sequence) < (before_at, before_digest, before_sequence)))
                ORDER BY e.timestamp DESC, md5(e.subject) DESC, e.sequence DESC LIMIT most) p) r) s
    WHERE s.size <= bytes OR s.n = 1
    ORDER BY s.n;
END $$;
