-- connection_unclaim(id text, intent text) -> unsent: 1 when the claim was taken back
-- It was certainly not sent: no connection, no TLS.
WITH back AS (
    UPDATE connection SET intent_sent_at = NULL WHERE id = $1::text AND intent_id = $2::text::uuid RETURNING 1)
SELECT count(*) AS unsent FROM back
