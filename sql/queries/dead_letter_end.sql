-- dead_letter_end(id bigint[], digest bytea[], outcome text[], at timestamptz)
-- The command that a replay sent has ended: by the letter's number, or, where another worker ends it, by
-- the command's digest.
UPDATE dead_letter d SET state = 'resolved', replay_outcome = w.outcome, resolved_at = $4, replay_digest = NULL
FROM unnest($1::bigint[], $2::bytea[], $3::text[]) AS w (id, digest, outcome)
WHERE (d.id = w.id OR (w.id IS NULL AND d.replay_digest = w.digest))
  AND d.state = 'replaying' AND d.replay_token IS NULL
