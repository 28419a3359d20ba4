-- What `drawbridge verify` reads from a topic, for as long as it compares it; nothing lasts here.
CREATE UNLOGGED TABLE verify_seen (
    run           bigint NOT NULL,
    partition     int    NOT NULL,
    record_offset bigint NOT NULL,
    ce_id         text   NOT NULL,
    subject       text   NOT NULL,
    sequence      bigint NOT NULL,
    at            timestamptz NOT NULL, -- ce_time
    digest        text   NOT NULL       -- MD5 of the value: against accidents
);
GRANT SELECT, INSERT, DELETE ON verify_seen TO drawbridge_worker;
