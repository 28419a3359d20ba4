-- dead_letter_take(id bigint[], token text[], digest bytea[], rows bigint) -> guard void
-- The replay of a letter is taken in once: whoever finds the token there takes it away.
WITH taken AS (
    UPDATE dead_letter d SET replay_token = NULL, replay_digest = w.digest
    FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS w (id, token, digest)
    WHERE d.id = w.id AND d.state = 'replaying' AND d.replay_token = w.token::uuid
    RETURNING 1)
SELECT guard((SELECT count(*) FROM taken), $4, 'DB002', 'dead_letter')
