-- What operators ask of dead letters (Q-10): one filter for every question, and replays as jobs that
-- outlive the terminal they were started from.

-- The letters a filter names. Each member is an array of texts, of which one must fit; a member that is
-- not there lets everything through:
--   id, worker, type, tenant, class, code, fingerprint, state, job: exactly;
--   subject: whole ("session/…") or the part behind the slash;
--   command: the id, or its beginning;  place: of any problem, "/userId";
--   text: somewhere in the message or in a problem, whatever the case of its letters;
--   since, until: died at that time or later, before that time.
CREATE FUNCTION dead_letter_matching(f jsonb) RETURNS SETOF dead_letter LANGUAGE sql STABLE AS $$
    SELECT d.* FROM dead_letter d
    WHERE (f -> 'id' IS NULL OR d.id = ANY (ARRAY(SELECT jsonb_array_elements_text(f -> 'id'))::bigint[]))
      AND (f -> 'worker' IS NULL OR f -> 'worker' ? d.consumer)
      AND (f -> 'type' IS NULL OR f -> 'type' ? d.type)
      AND (f -> 'tenant' IS NULL OR f -> 'tenant' ? d.tenant)
      AND (f -> 'class' IS NULL OR f -> 'class' ? d.class)
      AND (f -> 'code' IS NULL OR f -> 'code' ? d.code)
      AND (f -> 'fingerprint' IS NULL OR f -> 'fingerprint' ? d.fingerprint)
      AND (f -> 'state' IS NULL OR f -> 'state' ? d.state)
      AND (f -> 'job' IS NULL OR f -> 'job' ? d.job::text)
      AND (f -> 'subject' IS NULL OR f -> 'subject' ? d.subject
           OR f -> 'subject' ? substr(d.subject, strpos(d.subject, '/') + 1))
      AND (f -> 'command' IS NULL OR EXISTS (
           SELECT FROM jsonb_array_elements_text(f -> 'command') c WHERE starts_with(d.command_id, c)))
      AND (f -> 'place' IS NULL OR EXISTS (
           SELECT FROM jsonb_array_elements(d.problems) p WHERE f -> 'place' ? (p ->> 'pointer')))
      AND (f -> 'text' IS NULL OR EXISTS (
           SELECT FROM jsonb_array_elements_text(f -> 'text') t
           WHERE strpos(lower(d.message), lower(t)) > 0 OR strpos(lower(d.problems::text), lower(t)) > 0))
      AND (f -> 'since' IS NULL OR d.died_at >= (f -> 'since' ->> 0)::timestamptz)
      AND (f -> 'until' IS NULL OR d.died_at < (f -> 'until' ->> 0)::timestamptz)
$$;

-- A replay. The letters are noted when it is made, in the order in which they are sent; which of them were
-- sent and how they ended is told by the letters themselves (dead_letter.job, state, replay_outcome), so
-- that nothing has to be kept in step. Who runs it holds advisory lock (classid 1146241114, objid id).
-- state: open (running, or its terminal is gone), interrupted, stopped (by itself: stop_reason), done.
CREATE TABLE replay_job (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state       text   NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'interrupted', 'stopped', 'done')),
    stop_reason text,
    filter      jsonb  NOT NULL,
    options     jsonb  NOT NULL, -- ratePerSecond, keyRatePerSecond, canary, maxFailures, maxFailurePercent
    author      text   NOT NULL,
    reason      text,
    total       int    NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL,
    touched_at  timestamptz NOT NULL, -- the last sign of life of who runs it
    finished_at timestamptz
);
CREATE TABLE replay_job_letter (
    job         bigint NOT NULL REFERENCES replay_job,
    n           int    NOT NULL,
    dead_letter bigint NOT NULL, -- no reference: letters may go before jobs do
    PRIMARY KEY (job, n)
);
CREATE INDEX replay_job_letter_of ON replay_job_letter (dead_letter);

GRANT SELECT ON replay_job, replay_job_letter TO drawbridge_worker, drawbridge_gateway, drawbridge_reader;
GRANT INSERT, UPDATE ON replay_job, replay_job_letter TO drawbridge_worker;
