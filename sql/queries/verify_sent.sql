-- verify_sent(consumer text[], shard int[], after bigint[], upto bigint[], events boolean, letters boolean) -> consumer text, shard int, seq bigint, topic text, identity text, ce_id text, subject text, sequence bigint, at timestamptz
-- What the ledger has for the topics that nobody else writes to: drawbridge.events; the dead-letter topics and tiers.
-- identity: as store/topic_walk.h makes it of a record.
SELECT l.consumer, l.shard, l.seq, l.topic, md5(coalesce(l.key, '') || l.headers || coalesce(l.value, '')) AS identity,
       coalesce(l.ce_id, '') AS ce_id, coalesce(l.subject, '') AS subject, coalesce(l.sequence, 0) AS sequence, l.at
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS w (consumer, shard, after, upto)
-- OFFSET: window by window, by its index; a join could as well read the whole ledger for each.
CROSS JOIN LATERAL (SELECT * FROM ledger l WHERE l.consumer = w.consumer AND l.shard = w.shard AND l.seq > w.after
                    AND l.seq <= w.upto OFFSET 0) l
WHERE (l.topic = 'drawbridge.events' AND $5::boolean) OR ($6::boolean AND l.topic ~ '\.(dlq|retry\.[0-9a-z]+)$')
