-- dead_letter_discard(id bigint, who text, reason text, at timestamptz) -> guard void
WITH gone AS (
    UPDATE dead_letter d SET state = 'discarded', discarded_by = $2, discard_reason = $3, resolved_at = $4
    WHERE d.id = $1 AND d.state = 'parked' RETURNING 1)
SELECT guard((SELECT count(*) FROM gone), 1, 'DB002', 'dead_letter')
