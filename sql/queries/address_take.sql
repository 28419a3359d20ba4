-- address_take(pool text, idx bigint[], session_id text[])
INSERT INTO address_lease (pool, idx, session_id) SELECT $1, * FROM unnest($2::bigint[], $3::text[])
