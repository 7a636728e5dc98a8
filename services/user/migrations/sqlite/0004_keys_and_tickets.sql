-- Machine keys: what an account gave to a program.
CREATE TABLE api_keys (
    id           TEXT    NOT NULL PRIMARY KEY,             -- UUIDv7; `sid` of the tokens that it is exchanged for
    account_id   TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name         TEXT    NOT NULL,
    hash         BLOB    NOT NULL UNIQUE,                  -- SHA-256 of the secret
    scopes       TEXT    NOT NULL,                         -- words separated by spaces
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,                                  -- to the minute; NULL: never
    expires_at   INTEGER                                   -- NULL: lives until it is deleted
) STRICT;

CREATE INDEX api_keys_by_account ON api_keys (account_id);

-- Tickets for sockets: each opens one, for whoever holds the access token that it was got with.
CREATE TABLE tickets (
    hash          BLOB    NOT NULL PRIMARY KEY,            -- SHA-256 of the ticket
    session_id    TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    username      TEXT    NOT NULL,                        -- the rest as in that token
    roles         TEXT    NOT NULL,
    issued_at     INTEGER NOT NULL,
    token_ends_at INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL                         -- of the ticket itself
) STRICT;

CREATE INDEX tickets_by_session ON tickets (session_id);
CREATE INDEX tickets_by_expiry ON tickets (expires_at);
