-- shadow_take(letter bigint, token text)
-- As whoever replays it does, in a transaction that will be rolled back.
UPDATE dead_letter SET state = 'replaying', replay_token = $2::text::uuid, replay_by = 'shadow', replay_reason = NULL,
       job = NULL
WHERE id = $1
