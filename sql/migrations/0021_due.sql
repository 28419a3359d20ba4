-- What is due by a timer and what waits for its ticket are asked for apart, each all the time: one index for both
-- read every overdue row of the tiers again, at each look for timers (a million lanes: 440 million rows).
DROP INDEX pending_due;
CREATE INDEX pending_due ON pending (consumer, shard, due_at) WHERE state IN ('timed', 'scheduled');
CREATE INDEX pending_tier ON pending (consumer, shard, due_at) WHERE state = 'tier';
