-- owner_secret_drop(owner text[])
-- Users that are gone: their keys, and the secrets of their tokens. A user of the same name who
-- comes later does not find them.
DELETE FROM token_secret s
WHERE s.id IN (
    SELECT k.id FROM token_secret k WHERE k.user_id = ANY ($1::text[])
    UNION SELECT k.id FROM personal_access_token t JOIN token_secret k ON k.token_id = t.id
    WHERE t.owner = ANY ($1::text[]))
