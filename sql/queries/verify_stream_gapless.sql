-- verify_stream_gapless() -> subject, identity, detail
-- All that is kept of a subject: no number twice, none left out.
SELECT subject, max(sequence)::text AS identity,
       format('%s events with the numbers %s to %s, %s of them different', count(*), min(sequence), max(sequence),
              count(DISTINCT sequence)) AS detail
FROM ledger WHERE topic = 'drawbridge.events' AND sequence IS NOT NULL
GROUP BY 1 HAVING count(*) <> max(sequence) - min(sequence) + 1 OR count(DISTINCT sequence) <> count(*)
LIMIT 100
