-- stream_find(subject text[]) -> subject text, sequence bigint, consumer text, shard int, seq bigint
SELECT s.subject, s.sequence, s.event_consumer, s.event_shard, s.event_seq
FROM unnest($1::text[]) AS w (subject) JOIN subject_stream s ON s.subject = w.subject
