-- dead_letter_edit(id bigint, edits int, value bytea, headers bytea, who text, reason text, diff text, at timestamptz) -> guard void
-- edits: as it was read. What came in is kept at the first edit.
WITH edited AS (
    UPDATE dead_letter d SET value = $3, headers = $4, original_value = coalesce(d.original_value, d.value, ''),
           original_headers = coalesce(d.original_headers, d.headers), edits = d.edits + 1, edited_by = $5,
           edit_reason = $6, edit_diff = $7::text::jsonb, edited_at = $8
    WHERE d.id = $1 AND d.state = 'parked' AND d.edits = $2 RETURNING 1)
SELECT guard((SELECT count(*) FROM edited), 1, 'DB002', 'dead_letter')
