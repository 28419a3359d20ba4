-- status_dead_letters() -> worker, count, newest
SELECT consumer AS worker, count(*) AS count, max(died_at) AS newest
FROM dead_letter WHERE state = 'parked' GROUP BY consumer ORDER BY consumer
