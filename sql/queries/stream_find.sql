-- stream_find(subject text[]) -> subject text, sequence bigint, consumer text, shard int, seq bigint, event_key text
-- Each looked up by itself, whatever the plan thinks of the table: see lane_delete.
SELECT s.subject, s.sequence, s.event_consumer, s.event_shard, s.event_seq, s.event_key
FROM unnest($1::text[]) AS w (subject)
CROSS JOIN LATERAL (SELECT * FROM subject_stream t WHERE t.subject = w.subject OFFSET 0) s
