-- What the reconciler and `drawbridge verify` look things up by, and what is forgotten with age.

-- floor: rows of the ledger up to it were dropped with their days; all behind it are there.
ALTER TABLE shard ADD ledger_floor bigint NOT NULL DEFAULT 0;
-- Sessions of the user that were forgotten: total_sessions_created counts them too.
ALTER TABLE users ADD sessions_forgotten bigint NOT NULL DEFAULT 0;

-- Commands that end in the batch that took them in are never in the first one.
CREATE INDEX inbox_open ON inbox (digest) WHERE outcome = 'o';
CREATE INDEX sessions_stopping ON sessions (id) WHERE stop_command IS NOT NULL;
CREATE INDEX sessions_over ON sessions (terminated_at) WHERE status = 'terminated';
CREATE INDEX dead_letter_died ON dead_letter (consumer, shard, died_at);

-- As before, and the floor rises with each day of the ledger that goes.
CREATE OR REPLACE FUNCTION day_partitions_drop(parent text, before date) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE part record; dropped int := 0; busy boolean;
BEGIN
    IF parent NOT IN ('inbox', 'ledger', 'operational_event') THEN
        RAISE EXCEPTION 'no day partitions on %', parent;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('drawbridge.day_partitions'));
    FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = parent::regclass
                  AND c.relname ~ (parent || '_[0-9]{8}$')
                  AND to_date(right(c.relname, 8), 'YYYYMMDD') < before ORDER BY 1 LOOP
        IF parent = 'ledger' THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %I l JOIN shard s ON s.consumer = l.consumer
                            AND s.n = l.shard WHERE l.seq > s.published)', part.relname) INTO busy;
            EXIT WHEN busy;
            EXECUTE format('UPDATE shard s SET ledger_floor = greatest(s.ledger_floor, gone.seq)
                            FROM (SELECT consumer, shard, max(seq) AS seq FROM %I GROUP BY 1, 2) gone
                            WHERE s.consumer = gone.consumer AND s.n = gone.shard', part.relname);
        END IF;
        EXECUTE format('DROP TABLE %I', part.relname);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
