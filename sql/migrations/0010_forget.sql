-- What no partition ends: forgotten with age, a bounded number a call, by a function of the owner, so
-- that workers need no right to delete. Nothing goes whose last event is still in the ledger: numbers of
-- events go on as long as anybody can compare them, and what is verified is whole.
CREATE FUNCTION forget(now_ timestamptz, session_days int, letter_days int, job_days int, most int)
RETURNS TABLE (sessions bigint, letters bigint, streams bigint, jobs bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    WITH old AS (
        SELECT s.id, s.user_id, s.tombstone FROM sessions s
        JOIN shard h ON h.consumer = s.event_consumer AND h.n = s.event_shard
        WHERE s.status = 'terminated' AND s.terminated_at < now_ - make_interval(days => session_days)
          AND s.event_seq <= h.ledger_floor AND s.stop_command IS NULL
        ORDER BY s.terminated_at LIMIT most FOR UPDATE OF s SKIP LOCKED),
    tokens AS (DELETE FROM download_token t USING old o WHERE t.session_id = o.id),
    configs AS (DELETE FROM client_config c USING old o WHERE c.session_id = o.id),
    counted AS (
        UPDATE users u SET sessions_forgotten = u.sessions_forgotten + w.n
        FROM (SELECT user_id, count(*) AS n FROM old WHERE NOT tombstone GROUP BY 1) w WHERE u.id = w.user_id),
    gone AS (DELETE FROM sessions s USING old o WHERE s.id = o.id RETURNING 1)
    SELECT count(*) INTO sessions FROM gone;

    WITH old AS (
        SELECT d.id FROM dead_letter d
        WHERE d.state IN ('resolved', 'discarded') AND d.died_at < now_ - make_interval(days => letter_days)
          AND to_regclass('ledger_' || to_char(d.died_at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NULL
          AND NOT EXISTS (SELECT FROM dead_letter r WHERE r.replay_of = d.id AND r.state IN ('parked', 'replaying'))
        LIMIT most FOR UPDATE SKIP LOCKED),
    gone AS (DELETE FROM dead_letter d USING old o WHERE d.id = o.id RETURNING 1)
    SELECT count(*) INTO letters FROM gone;

    WITH old AS (
        SELECT t.subject FROM subject_stream t
        JOIN shard h ON h.consumer = t.event_consumer AND h.n = t.event_shard
        WHERE t.event_seq <= h.ledger_floor LIMIT most FOR UPDATE OF t SKIP LOCKED),
    gone AS (DELETE FROM subject_stream t USING old o WHERE t.subject = o.subject RETURNING 1)
    SELECT count(*) INTO streams FROM gone;

    WITH old AS (
        SELECT j.id FROM replay_job j
        WHERE j.state = 'done' AND j.finished_at < now_ - make_interval(days => job_days)
        LIMIT most FOR UPDATE SKIP LOCKED),
    items AS (DELETE FROM replay_job_letter l USING old o WHERE l.job = o.id RETURNING 1),
    counted AS (SELECT count(*) AS n FROM items)
    SELECT count(*) INTO jobs FROM old, counted;
    DELETE FROM replay_job j
    WHERE j.state = 'done' AND j.finished_at < now_ - make_interval(days => job_days)
      AND NOT EXISTS (SELECT FROM replay_job_letter l WHERE l.job = j.id);
    RETURN NEXT;
END $$;
REVOKE EXECUTE ON FUNCTION forget FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget TO drawbridge_worker;
