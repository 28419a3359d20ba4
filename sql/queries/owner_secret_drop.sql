-- owner_secret_drop(owner text[])
-- Users that are gone: their keys, and the secrets of their tokens. A user of the same name who
-- comes later does not find them.
DELETE FROM token_secret s
WHERE s.user_id = ANY ($1::text[])
   OR s.token_id IN (SELECT t.id FROM personal_access_token t WHERE t.owner = ANY ($1::text[]))
