-- The key of a subject's events, kept from the first one on: what another publisher says of the same subject
-- under another key stays on the same partition, behind what was said before (Q-04).
ALTER TABLE subject_stream ADD event_key text;
-- Null: the user's id. Another one only where the subject had events before it had a row.
ALTER TABLE users ADD event_key text;
ALTER TABLE sessions ADD event_key text;

-- Streams that are there go on where their last event went; keys that are no plain text get theirs anew.
UPDATE subject_stream s SET event_key = encode(l.key, 'escape')
FROM ledger l
WHERE l.consumer = s.event_consumer AND l.shard = s.event_shard AND l.seq = s.event_seq
  AND l.key <> '' AND strpos(encode(l.key, 'escape'), '\') = 0;
