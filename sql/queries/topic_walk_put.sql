-- topic_walk_put(walker text, positions text, shards text, at timestamptz)
INSERT INTO topic_walk (walker, positions, shards, at) VALUES ($1, $2::text::jsonb, $3::text::jsonb, $4)
ON CONFLICT (walker) DO UPDATE SET positions = excluded.positions, shards = excluded.shards, at = excluded.at
