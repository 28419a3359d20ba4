-- dead_letter_last() -> id
SELECT coalesce(max(id), 0) AS id FROM dead_letter
