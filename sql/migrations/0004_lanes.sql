-- What operators do with lanes and dead letters (ADR 0010), and deadlines of what waits.

-- held_by: what a held row waits for: dead:<dead_letter id>, breaker:<dependency>, limit:<name>, operator.
-- expires_at: ce_expirytime or the policy's overall deadline, whichever comes first; looked for while
-- the command waits. replay_of: the dead letter that this command is the replay of.
ALTER TABLE pending ADD held_by text, ADD expires_at timestamptz, ADD replay_of bigint;
CREATE INDEX pending_expires ON pending (consumer, shard, expires_at)
    WHERE expires_at IS NOT NULL AND state <> 'effect' AND NOT compensating;
CREATE INDEX pending_held ON pending (consumer, shard, held_by) WHERE held_by IS NOT NULL;

-- parked -> replaying -> resolved, parked -> discarded. replay_token is there from the moment a replay
-- is decided on until the shard's owner has taken the record in: a second copy finds none. job, replay_by
-- and replay_reason say whose replay it is. An edited letter keeps what came in original_*, of its first
-- edit on; value and headers are what a replay sends. edits counts: the new id is <old id>~e<edits>.
ALTER TABLE dead_letter
    ADD replay_token uuid, ADD job bigint, ADD replay_by text, ADD replay_reason text,
    ADD replay_of bigint,
    ADD replay_outcome text CHECK (replay_outcome IN ('done', 'refused', 'cancelled', 'dead')),
    ADD resolved_at timestamptz,
    ADD original_value bytea, ADD original_headers bytea, ADD edits int NOT NULL DEFAULT 0,
    ADD edited_by text, ADD edited_at timestamptz, ADD edit_reason text, ADD edit_diff jsonb,
    ADD discarded_by text, ADD discard_reason text,
    -- What failed alike has the same one: class, code, place of the first problem, type.
    ADD fingerprint text GENERATED ALWAYS AS
        (substr(md5(class || '|' || code || '|' || coalesce(problems -> 0 ->> 'pointer', '') || '|' ||
                    coalesce(type, '')), 1, 12)) STORED,
    ADD CONSTRAINT dead_letter_token CHECK (replay_token IS NULL OR state = 'replaying'),
    ADD CONSTRAINT dead_letter_resolved CHECK ((state = 'resolved') = (replay_outcome IS NOT NULL));
CREATE INDEX dead_letter_fingerprint ON dead_letter (fingerprint, died_at);
CREATE INDEX dead_letter_replaying ON dead_letter (job) WHERE state = 'replaying';
CREATE INDEX dead_letter_replay_of ON dead_letter (replay_of) WHERE replay_of IS NOT NULL;
