-- dead_letter_count(filter jsonb) -> totalCount
SELECT count(*) AS "totalCount" FROM dead_letter_matching($1)
