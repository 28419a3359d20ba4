-- The floor's tables; running this empties them.
DROP TABLE IF EXISTS floor_inbox, floor_user, floor_outbox;
CREATE TABLE floor_inbox (
    id          text PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE floor_user (
    id          text PRIMARY KEY,
    version     bigint NOT NULL,
    quota       bigint NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE TABLE floor_outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    command_id  text NOT NULL,
    user_id     text NOT NULL,
    result      jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
