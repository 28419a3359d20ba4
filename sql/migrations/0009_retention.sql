-- What grows without an end is looked at in part, and forgotten with age.

-- The share of a table, in per cent, that is `bytes` large; with no limit (0) or a small table: all.
CREATE FUNCTION verify_share(relation text, bytes bigint) RETURNS real LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN bytes <= 0 OR all_bytes <= bytes THEN 100 ELSE 100.0 * bytes / all_bytes END::real
    FROM (SELECT greatest(sum(pg_relation_size(relid)), pg_relation_size(relation::regclass)) AS all_bytes
          FROM pg_partition_tree(relation::regclass)) s -- empty for a table without parts
$$;
