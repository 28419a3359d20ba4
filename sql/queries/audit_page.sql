-- audit_page(type text, user_id text, resource text, outcome text, correlation_id text, since timestamptz, until timestamptz, before_us bigint, before_digest text, before_sequence bigint, most int, bytes bigint) -> at_us bigint, digest text, sequence bigint, record text
-- Newest first; each parameter may be null but the last two. Times of the cursor are microseconds since 1970.
SELECT (extract(epoch FROM at) * 1000000)::bigint, digest, sequence, record
FROM audit_page($1, $2, $3, $4, $5, $6, $7, timestamptz 'epoch' + $8::bigint * interval '1 microsecond', $9, $10, $11, $12)
