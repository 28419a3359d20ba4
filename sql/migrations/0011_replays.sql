-- replay_digest: of the command that a replay sent, from the moment it is taken in until it ends, by
-- whichever worker. An edited command is another one than the letter's.
ALTER TABLE dead_letter ADD replay_digest bytea;
CREATE INDEX dead_letter_replay_digest ON dead_letter (replay_digest) WHERE state = 'replaying';

-- A session that ended only because its start died begins anew when the start is replayed (ADR 0012).
CREATE OR REPLACE FUNCTION session_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status = NEW.status
       OR (OLD.status = 'provisioning' AND NEW.status IN ('active', 'idle', 'terminating', 'terminated'))
       OR (OLD.status = 'active' AND NEW.status IN ('idle', 'terminating', 'terminated'))
       OR (OLD.status = 'idle' AND NEW.status IN ('terminating', 'terminated'))
       OR (OLD.status = 'terminating' AND NEW.status = 'terminated')
       OR (OLD.status = 'terminated' AND OLD.reason = 'failed' AND NEW.status = 'provisioning') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'session %: illegal transition % -> %', OLD.id, OLD.status, NEW.status
        USING ERRCODE = 'DB003';
END $$;
