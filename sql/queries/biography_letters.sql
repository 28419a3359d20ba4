-- biography_letters(digest text[], letter bigint) -> the dead letters of these commands and of what was made of them
-- A letter that died again in its replay points to the one before (replay_of), edited or not.
WITH RECURSIVE seed AS (
    SELECT id, replay_of FROM dead_letter
    WHERE digest = ANY (ARRAY(SELECT decode(x, 'hex') FROM unnest($1::text[]) x)) OR id = $2::bigint),
back AS (
    SELECT id, replay_of FROM seed
    UNION SELECT d.id, d.replay_of FROM back b JOIN dead_letter d ON d.id = b.replay_of),
forth AS (
    SELECT id FROM back
    UNION SELECT d.id FROM forth f JOIN dead_letter d ON d.replay_of = f.id)
SELECT id, consumer AS worker, shard, state, died_at AS "diedAt", command_id AS "commandId", type, source, subject,
       class, code, message, attempts, topic, partition, record_offset AS "offset", record_at AS "recordAt",
       worker_version AS "workerVersion", edits, edited_by AS "editedBy", edited_at AS "editedAt",
       edit_reason AS "editReason", job, replay_by AS "replayBy", replay_reason AS "replayReason",
       replay_of AS "replayOf", replay_outcome AS "replayOutcome", resolved_at AS "resolvedAt",
       discarded_by AS "discardedBy", discard_reason AS "discardReason", encode(digest, 'hex') AS digest
FROM dead_letter WHERE id IN (SELECT id FROM forth) ORDER BY id
