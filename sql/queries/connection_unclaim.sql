-- connection_unclaim(id text, intent text, claimed timestamptz) -> unsent: 1 when the claim was taken back
-- It was certainly not sent: no connection, no TLS; or not done. claimed: what our claim has written; whoever claims what
-- we gave back, and did not hear that we had, is another.
WITH back AS (
    UPDATE connection SET intent_sent_at = NULL WHERE id = $1::text AND intent_id = $2::text::uuid
        AND intent_sent_at = $3::timestamptz
    RETURNING 1)
SELECT count(*) AS unsent FROM back
