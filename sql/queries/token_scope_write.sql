-- token_scope_write(token_id text[], scopes text[])
-- The scopes of these tokens, each list with single spaces between; they keep their order.
WITH w AS (
    SELECT t.id, l.scope, l.pos
    FROM unnest($1::text[]::uuid[], $2::text[]) AS t (id, scopes),
         unnest(string_to_array(t.scopes, ' ')) WITH ORDINALITY AS l (scope, pos)),
gone AS (
    DELETE FROM token_scope s
    WHERE s.token_id = ANY ($1::text[]::uuid[]) AND (s.token_id, s.scope) NOT IN (SELECT id, scope FROM w))
INSERT INTO token_scope (token_id, scope, pos) SELECT id, scope, pos FROM w
ON CONFLICT (token_id, scope) DO UPDATE SET pos = excluded.pos
