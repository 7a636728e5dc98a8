-- Machine keys: what an account gave to a program.
CREATE TABLE api_keys (
    id           TEXT   COLLATE "C" NOT NULL PRIMARY KEY,  -- UUIDv7; `sid` of the tokens that it is exchanged for
    account_id   TEXT   COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name         TEXT   NOT NULL,
    hash         BYTEA  NOT NULL UNIQUE,                   -- SHA-256 of the secret
    scopes       TEXT   NOT NULL,                          -- words separated by spaces
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT,                                   -- to the minute; NULL: never
    expires_at   BIGINT                                    -- NULL: lives until it is deleted
);

CREATE INDEX api_keys_by_account ON api_keys (account_id);

-- Tickets for sockets: each opens one, for whoever holds the access token that it was got with.
CREATE TABLE tickets (
    hash          BYTEA  NOT NULL PRIMARY KEY,             -- SHA-256 of the ticket
    session_id    TEXT   COLLATE "C" NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    username      TEXT   NOT NULL,                         -- the rest as in that token
    roles         TEXT   NOT NULL,
    issued_at     BIGINT NOT NULL,
    token_ends_at BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL                          -- of the ticket itself
);

CREATE INDEX tickets_by_session ON tickets (session_id);
CREATE INDEX tickets_by_expiry ON tickets (expires_at);
