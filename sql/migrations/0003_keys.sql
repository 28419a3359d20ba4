-- Keys that cost less per command. Every insert descends the ledger's key: numbers that differ come
-- first, the worker's name, nearly always equal, behind them. In the inbox the day is the same all
-- over a partition, so the digest comes first; a command can now be looked up without its day.
ALTER TABLE ledger DROP CONSTRAINT ledger_pkey;
ALTER TABLE ledger ADD CONSTRAINT ledger_pkey PRIMARY KEY (shard, seq, consumer, day);
ALTER TABLE inbox DROP CONSTRAINT inbox_pkey;
ALTER TABLE inbox ADD CONSTRAINT inbox_pkey PRIMARY KEY (digest, day);
-- The event with which a command was done is named by its inbox row (event_seq, event_day); the
-- rest of its biography is found by this.
DROP INDEX ledger_command;
CREATE INDEX ledger_command ON ledger (command) WHERE outcome IS DISTINCT FROM 'done';
