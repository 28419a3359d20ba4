-- The parked letters that fit, numbered in the order in which they are to be sent again: that in which their
-- commands came in first. A letter that died again in a replay stands where the first of its line stood.
-- By time, as far as the order of each shard allows: offsets count, whatever the publishers' clocks said.
CREATE FUNCTION dead_letter_in_order(f jsonb) RETURNS TABLE (n bigint, id bigint) LANGUAGE sql STABLE AS $$
    WITH RECURSIVE line AS (
        SELECT d.id AS letter, d.id AS at_id, d.replay_of, 0 AS depth
        FROM dead_letter_matching(f) d WHERE d.state = 'parked'
        UNION ALL
        SELECT l.letter, d.id, d.replay_of, l.depth + 1 FROM line l JOIN dead_letter d ON d.id = l.replay_of),
    first AS (
        SELECT DISTINCT ON (l.letter) l.letter, d.consumer, d.shard, d.record_offset,
               coalesce(d.record_at, d.died_at) AS at
        FROM line l JOIN dead_letter d ON d.id = l.at_id ORDER BY l.letter, l.depth DESC),
    timed AS (
        SELECT letter, consumer, shard, record_offset,
               max(at) OVER (PARTITION BY consumer, shard ORDER BY record_offset, letter) AS at FROM first)
    SELECT row_number() OVER (ORDER BY at, consumer, shard, record_offset, letter), letter FROM timed
$$;
