-- topic_walk_find(walker text) -> positions text, shards text
SELECT positions::text, shards::text FROM topic_walk WHERE walker = $1
