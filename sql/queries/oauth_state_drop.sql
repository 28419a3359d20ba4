-- oauth_state_drop(connection text[])
-- Those that were used: their verifier is of no use any more.
DELETE FROM oauth_state WHERE connection = ANY ($1::text[]) AND used_at IS NOT NULL
