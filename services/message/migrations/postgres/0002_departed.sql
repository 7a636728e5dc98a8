-- The same as in the folder beside this one.

CREATE TABLE departed (
    user_id     UUID PRIMARY KEY,
    deleted_at  BIGINT NOT NULL,
    finished_at BIGINT
);

CREATE INDEX departed_unfinished ON departed (user_id) WHERE finished_at IS NULL;

CREATE INDEX messages_by_sender ON messages (user_id, line) WHERE client_id IS NULL;

CREATE INDEX log_by_joining ON log (payload COLLATE "C") WHERE type = 'member.joined';
