-- Accounts. The *_key columns hold the lower-case form, so that uniqueness ignores case while the
-- spelling that its owner chose is kept.
CREATE TABLE accounts (
    id             TEXT    NOT NULL PRIMARY KEY,           -- UUIDv7
    username       TEXT    NOT NULL,
    username_key   TEXT    NOT NULL UNIQUE,
    email          TEXT,
    email_key      TEXT    UNIQUE,
    email_verified INTEGER NOT NULL DEFAULT 0,
    phone          TEXT    UNIQUE,                         -- E.164
    phone_verified INTEGER NOT NULL DEFAULT 0,
    password       TEXT,                                   -- PHC string; NULL: no way in by password
    display_name   TEXT,
    first_name     TEXT,
    last_name      TEXT,
    avatar_url     TEXT,
    bio            TEXT,
    location       TEXT,
    roles          TEXT    NOT NULL,                       -- words separated by commas
    store_id       TEXT,
    operator_group TEXT,
    created_at     INTEGER NOT NULL,                       -- milliseconds since the Unix epoch
    updated_at     INTEGER NOT NULL
) STRICT;

-- A session is one sign-in: the family of refresh tokens that grew from it.
CREATE TABLE sessions (
    id           TEXT    NOT NULL PRIMARY KEY,             -- UUIDv7
    account_id   TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,                         -- moves on with every refresh
    ended_at     INTEGER                                   -- NULL: alive
) STRICT;

CREATE INDEX sessions_by_account ON sessions (account_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- Spent tokens stay, so that using one again is noticed and ends its session.
CREATE TABLE refresh_tokens (
    hash       BLOB    NOT NULL PRIMARY KEY,               -- SHA-256 of the token
    session_id TEXT    NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    used_at    INTEGER                                     -- NULL: the newest of its session
) STRICT;

CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_age ON refresh_tokens (created_at);

-- The code that makes the first administrator: at most one row.
CREATE TABLE setup (
    id        INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    code_hash BLOB    NOT NULL,                            -- SHA-256 of the code
    used_at   INTEGER                                      -- NULL: still good
) STRICT;
