-- verify_lane_head() -> subject, identity, detail
-- Only the first row of a lane may be at work or wait for a time; all others wait for it, or are what a death
-- left to hold the lane.
SELECT l.subject, format('%s/%s/%s', l.consumer, l.shard, l.pos) AS identity,
       format('%s %s is %s at place %s of its lane', l.type, l.command_id, l.state, l.place) AS detail
FROM (SELECT p.*, row_number() OVER (PARTITION BY consumer, shard, subject ORDER BY pos) AS place
      FROM pending p WHERE state <> 'scheduled') l
WHERE l.place > 1 AND l.state <> 'follower' AND (l.state = 'held' AND l.held_by LIKE 'dead:%') IS NOT TRUE
LIMIT 100
